"""Experiment: a question, with an objective, a search space and the template of a run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.api.common import (
    ATOMIC,
    REPLACED_AS_ONE,
    Conditions,
    LongText,
    Model,
    Name,
    Omitted,
    Owner,
    Scalar,
    Timestamp,
    rule,
    rules,
)
from assay.api.modelversion import ModelName
from assay.api.retention import Retention
from assay.api.run import PARAMETER_NAME, PARAMETER_NAME_RULE, Objective, Parameters, RunTemplate

#: An experiment with more runs than this is treated as a mistake in the search space.
MAX_RUNS = 100_000

Distribution = Literal["uniform", "logUniform", "int"]


class Parameter(Model):
    """One dimension of the search space: a list of values, or a range."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule("!has(self.min) || !has(self.max) || self.min < self.max", "min must be less than max"),
            rule(
                "!has(self.min) || !has(self.distribution) || self.distribution != 'logUniform' || self.min > 0.0",
                "min must be greater than 0 when the distribution is logUniform",
            ),
            rule(
                "!has(self.min) || !has(self.max) || !has(self.distribution) || self.distribution != 'int' || "
                "(self.min == double(int(self.min)) && self.max == double(int(self.max)))",
                "min and max must be whole numbers when the distribution is int",
            ),
            # CEL cannot access `values`, because its items have no single type, so this rule is JSON schema.
            oneOf=[{"required": ["values"]}, {"required": ["min", "max"]}],
        ),
    )

    name: Annotated[
        Name,
        Field(
            description="Name of the parameter. The container gets it as PARAM_<name>, also with '_' for '-' and '.'.",
            json_schema_extra=rules(rule(f"self.matches('{PARAMETER_NAME}')", PARAMETER_NAME_RULE)),
        ),
    ]
    values: Annotated[
        list[Scalar] | None,
        Field(
            min_length=1,
            max_length=1000,
            description="The values to choose from. A grid search tries all of them; a random search draws from them.",
        ),
    ] = None
    min: Annotated[float | None, Field(description="Lower end of the range, included. For random search.")] = None
    max: Annotated[float | None, Field(description="Upper end of the range, included. For random search.")] = None
    distribution: Annotated[
        Distribution,
        Field(
            description="How a random search draws from the range: uniform, logUniform (uniform in the "
            "logarithm), or int (uniform over integers)."
        ),
    ] = "uniform"


class Search(Model):
    """How the parameters of runs are chosen. The same spec always gives the same runs."""

    strategy: Annotated[
        Literal["grid", "random", "list"],
        Field(
            description="grid: every combination of values; the last parameter varies fastest. random: maxRuns "
            "draws. list: the combinations of the list, in order."
        ),
    ] = "grid"
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Seed of a random search. Another seed gives other parameters.")
    ] = 0
    list_: Annotated[
        list[Parameters] | None,
        Field(
            alias="list",
            min_length=1,
            max_length=1000,
            description="The combinations of a list search, each a map from parameter name to value.",
        ),
    ] = None


class Register(Model):
    """The runs that become versions of a model."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, protected_namespaces=())

    model: Annotated[ModelName, Field(description="Name of the model. The version gets its next free number.")]
    when: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="CEL over run: only runs for which it is true are registered, e.g. "
            "run.metrics.val_accuracy.last >= 0.9",
        ),
    ] = None
    requested: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=250,
            description="Only runs whose code asked for a version of the registered model with this name are "
            "registered, as register_model of MLflow does. The version must be the artifact template.model.path.",
        ),
    ] = None
    pick: Annotated[
        Literal["best", "every"],
        Field(
            description="With best: when the experiment has ended, register the best of the successful runs for which "
            "`when` is true. With every: register each such run as soon as it has ended."
        ),
    ] = "best"
    limit: Annotated[
        int,
        Field(ge=1, le=1000, description="With pick every: how many versions this experiment registers at most."),
    ] = 100


class ExperimentSpec(Model):
    """Desired search. Only parallelism, maxRuns, maxFailedRuns, suspend and retention can be changed later."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule(
                "(has(self.search) && has(self.search.strategy) && self.search.strategy != 'grid') || "
                "!has(self.parameters) || "
                "self.parameters.all(parameter, !has(parameter.min))",
                "a grid search needs values for every parameter: use strategy random for a range",
            ),
            rule(
                "!has(self.search) || !has(self.search.strategy) || self.search.strategy != 'random' || "
                "(has(self.maxRuns) && has(self.parameters) && "
                "size(self.parameters) > 0)",
                "a random search needs parameters and maxRuns, the number of draws",
            ),
            rule(
                "has(self.search) && has(self.search.strategy) && self.search.strategy == 'list' ? "
                "has(self.search.list) && (!has(self.parameters) || size(self.parameters) == 0) : "
                "!has(self.search) || !has(self.search.list)",
                "search.list goes with strategy list, and then parameters is left out",
            ),
            rule(
                "has(self.objective) == has(oldSelf.objective) && "
                "(!has(self.objective) || self.objective == oldSelf.objective)",
                "objective cannot be changed: runs that were made for another objective are not comparable",
            ),
            rule(
                # CEL ignores the order of lists keyed by name, but the order determines the parameters of run N.
                "has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || "
                "(self.parameters == oldSelf.parameters && "
                "self.parameters.map(p, p.name) == oldSelf.parameters.map(p, p.name)))",
                "parameters cannot be changed: create a new Experiment",
            ),
            rule(
                "has(self.owner) == has(oldSelf.owner) && (!has(self.owner) || self.owner == oldSelf.owner)",
                "owner cannot be changed",
            ),
            rule(
                "!has(self.register) || has(self.template.model)",
                "register needs template.model.path, which says which artifact is the model",
            ),
            rule(
                "!has(self.register) || has(self.objective) || "
                "(has(self.register.pick) && self.register.pick != 'best')",
                "register.pick best needs an objective; every needs none",
            ),
            rule(
                "has(self.register) == has(oldSelf.register) && "
                "(!has(self.register) || self.register == oldSelf.register)",
                "register cannot be changed: create a new Experiment, or a ModelVersion that names the run",
            ),
            rule(
                "has(self.search) == has(oldSelf.search) && (!has(self.search) || self.search == oldSelf.search)",
                "search cannot be changed: create a new Experiment",
            ),
            rule("self.template == oldSelf.template", "template cannot be changed: create a new Experiment"),
        ),
    )

    owner: Owner = None
    objective: Annotated[
        Objective | None,
        Field(description="The metric that decides which run is better. Without it there is no best run."),
    ] = None
    parameters: Annotated[
        list[Parameter],
        Field(
            max_length=64,
            description="The search space, one entry per parameter. If empty, there is one run without parameters.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    search: Annotated[
        Search,
        Field(description="How the parameters of runs are chosen.", json_schema_extra=REPLACED_AS_ONE),
    ] = Search()
    parallelism: Annotated[
        int, Field(ge=1, le=10_000, description="Maximum number of active runs. Can be changed.")
    ] = 1
    max_runs: Annotated[
        int | None,
        Field(ge=1, le=MAX_RUNS, description="Maximum number of runs. Can be changed; lowering it stops no run."),
    ] = None
    max_failed_runs: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_RUNS,
            description="When more runs than this have failed, the experiment fails and no further run is "
            "launched. If omitted, failed runs never stop the experiment. Can be changed.",
        ),
    ] = None
    suspend: Annotated[
        bool,
        Field(
            description="While true, no run is launched and the Jobs of active runs are suspended: their pods "
            "stop, and start from the beginning when this is false again. Can be changed."
        ),
    ] = False
    adopt_records: Annotated[
        bool,
        Field(
            description="Before the first run is launched: count the records of an earlier Experiment with this name, "
            "instead of training again. Only runs whose spec is the same count, from the first one to the first that "
            "has no such record."
        ),
    ] = False
    register_: Annotated[
        Register | None, Field(alias="register", description="The runs that become versions of a model.")
    ] = None
    retention: Annotated[
        Retention | None,
        Field(
            description="How long the runs' data is kept. Can be changed; the change also applies to finished "
            "runs whose data still exists.",
            json_schema_extra=ATOMIC,
        ),
    ] = None
    template: Annotated[RunTemplate, Field(description="The spec of every Run.")]


class RunCounts(Model):
    """The number of runs by phase, including archived runs."""

    total: Annotated[int, Field(description="Number of runs that the search asks for.")] = 0
    pending: Annotated[int, Field(description="Launched but not running yet.")] = 0
    running: Annotated[int, Field(description="Running.")] = 0
    suspended: Annotated[int, Field(description="Suspended.")] = 0
    succeeded: Annotated[int, Field(description="Succeeded.")] = 0
    failed: Annotated[int, Field(description="Failed.")] = 0


class BestRun(Model):
    """The best successful run so far."""

    run: Annotated[str, Field(max_length=253, description="Name of the Run.")]
    value: Annotated[float, Field(description="Its best value of the objective's metric.")]
    display: Annotated[str | None, Field(max_length=64, description="The value, formatted for tables.")] = None
    parameters: Annotated[Parameters, Field(description="Its parameters.")] = {}


class ArchivedBest(Model):
    """The best archived run."""

    run: Annotated[str, Field(max_length=253, description="Name of the Run.")]
    index: Annotated[int, Field(description="Its index.")]
    value: Annotated[float, Field(description="Its best value of the objective's metric.")]


class ArchivedRuns(Model):
    """Summary of the runs whose objects were removed."""

    succeeded: Annotated[int, Field(description="Number of archived runs that succeeded.")] = 0
    failed: Annotated[int, Field(description="Number of archived runs that failed.")] = 0
    best: Annotated[ArchivedBest | None, Field(description="The best of the archived runs.")] = None
    with_objective: Annotated[int, Field(description="Number of archived runs with a value of the objective.")] = 0
    without_objective: Annotated[int, Field(description="Number of archived runs that recorded no such value.")] = 0
    objective_problem: Annotated[
        str | None, Field(max_length=1024, description="Why one of them recorded no value of the objective.")
    ] = None
    removing: Annotated[
        list[Annotated[str, Field(max_length=64, description="UID of a Run.")]],
        Field(
            max_length=100,
            description="Runs whose objects are being removed. They are counted here, and no longer as objects.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = []


class ExperimentStatus(Model):
    """Observed state of an experiment. Its size does not depend on the number of runs."""

    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this status describes.")
    ] = None
    phase: Annotated[
        Literal["Pending", "Running", "Suspended", "Succeeded", "Failed"] | None,
        Field(description="Pending, Running, Suspended, Succeeded or Failed."),
    ] = None
    message: Annotated[LongText | None, Field(description="Explanation of the phase.")] = None
    runs: Annotated[RunCounts | None, Field(description="The number of runs by phase.")] = None
    archived: Annotated[ArchivedRuns | None, Field(description="Summary of the runs whose objects were removed.")] = (
        None
    )
    launched: Annotated[
        int | None,
        Field(description="All runs with a smaller index were created. None is created twice."),
    ] = None
    adopted: Annotated[
        int | None,
        Field(description="With adoptRecords: the first runs that are records of an earlier Experiment of this name."),
    ] = None
    progress: Annotated[str | None, Field(max_length=32, description="Finished runs of all runs, e.g. 17/20.")] = None
    best: Annotated[BestRun | None, Field(description="The best run so far.")] = None
    registered: Annotated[
        str | None, Field(max_length=63, description="The ModelVersion that was registered last.")
    ] = None
    start_time: Annotated[Timestamp | None, Field(description="When the first run was launched.")] = None
    completion_time: Annotated[Timestamp | None, Field(description="When the last run ended.")] = None
    duration: Annotated[str | None, Field(max_length=32, description="Time from start to end, e.g. 1h2m3s.")] = None
    omitted: Omitted | None = None
    conditions: Conditions = []
