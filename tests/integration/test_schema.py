"""What the API server accepts, what it refuses, and in which words: no operator takes part in this."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from assay.api import names
from assay.cli.manifests import jobs
from tests import job_schema, operators, registry
from tests.cluster import calls
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Change = Callable[[Raw], Any]

_POD: Raw = {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train:1"}]}
JOB: Raw = {"backoffLimit": 1, "template": {"spec": _POD}}
EXPERIMENT: Raw = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "sweep"},
    "spec": {
        "objective": {"metric": "score", "direction": "maximize"},
        "parameters": [{"name": "lr", "values": [0.1, 0.2]}, {"name": "depth", "values": [2, 3]}],
        "suspend": True,
        "template": {"source": {"repository": "https://git.example.com/ml"}, "model": {"path": "model"}, "job": JOB},
    },
}
RANDOM: Raw = {
    **EXPERIMENT,
    "spec": {
        **EXPERIMENT["spec"],
        "parameters": [{"name": "lr", "min": 0.001, "max": 0.1}],
        "search": {"strategy": "random", "seed": 1},
        "maxRuns": 5,
    },
}
LIST: Raw = {
    **EXPERIMENT,
    "spec": {
        "search": {"strategy": "list", "list": [{"lr": 0.1}, {"lr": 0.2}]},
        "suspend": True,
        "template": {"job": JOB},
    },
}
REGISTERING: Raw = {
    **EXPERIMENT,
    "spec": {**EXPERIMENT["spec"], "register": {"model": "digits", "when": "run.metrics.score.last >= 0.9"}},
}
RUN: Raw = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "Run",
    "metadata": {"name": "one"},
    "spec": {
        "parameters": {"lr": 0.1, "kind": "a", "fast": True},
        "datasets": [{"name": "digits", "uri": "s3://datasets/digits/2.1/", "secretRef": {"name": "keys"}}],
        "job": JOB,
    },
}


def _line(message: str) -> str:
    """Return a message on one line. Older API servers also print the type of an object that a rule refuses."""
    return " ".join(message.split()).replace('Invalid value: "object": ', "Invalid value: ")


@dataclass(frozen=True)
class Api:
    """The API server as a user of one namespace sees it."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *argv, stdin=stdin)

    def try_out(self, manifest: Raw) -> Raw:
        """Return what would be stored, without the owner that is filled in where the policies are in force."""
        found = calls.create(self.cluster, self.namespace, manifest, dry_run=True)
        if "owner" not in manifest["spec"]:
            found["spec"].pop("owner", None)
        return found

    def refusal(self, *argv: str, manifest: Raw | None = None) -> str:
        """Return what the user sees when it is refused."""
        try:
            said = self.kubectl(*argv, stdin=json.dumps(manifest) if manifest else None)
        except ClusterError as error:
            return _line(str(error))
        pytest.fail(f"it was accepted: {said}")

    def refusal_of(self, manifest: Raw) -> str:
        """Return why the API server would not create it."""
        try:
            said = self.try_out(manifest)
        except ClusterError as error:
            return _line(str(error))
        pytest.fail(f"it was accepted: {said}")

    def get(self, what: str) -> Raw:
        found: Raw = json.loads(self.kubectl("get", what, "-ojson"))
        return found


@pytest.fixture(scope="module")
def space(control_plane: Cluster) -> Iterator[str]:
    """One namespace for all that is only tried out."""
    operators.install(control_plane)
    name = "test-schema-tried"
    control_plane.create_namespace(name)
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture(scope="module")
def dry(control_plane: Cluster, space: str) -> Api:
    return Api(control_plane, space)


@pytest.fixture
def api(dry: Api, namespace: str) -> Api:
    """A namespace for what is stored."""
    return Api(dry.cluster, namespace)


def changed(manifest: Raw, change: Change) -> Raw:
    found = copy.deepcopy(manifest)
    change(found)
    return found


def put(path: str, value: Any) -> Change:
    """Return the change that sets a field, e.g. `spec.parameters.0.name`; `...` removes it."""

    def change(manifest: Raw) -> None:
        *parents, last = path.split(".")
        target: Any = manifest
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
        if value is ...:
            del target[last]
        else:
            target[int(last) if isinstance(target, list) else last] = value

    return change


def parameter(**fields: Any) -> Change:
    return put("spec.parameters", [{"name": "lr", **fields}])


# What is refused

NAME = "lower-case letters, digits and '-', because the "
GRID_RANGE = "spec: Invalid value: a grid search needs values for every parameter: use strategy random for a range"
DRAWS = "spec: Invalid value: a random search needs parameters and maxRuns, the number of draws"
LISTED = "spec: Invalid value: search.list goes with strategy list, and then parameters is left out"
ONE_OF = "must validate one and only one schema (oneOf)"
REVERSED = "spec.parameters[0]: Invalid value: min must be less than max"
PATH = "path is relative to /assay/artifacts, without '..', without a slash at either end"

COLLECT: Raw = {
    "mlflow": False,
    "tensorboard": {"path": "/logs"},
    "stdout": {"format": "regex", "pattern": "loss (?P<loss>.*)"},
    "prometheus": {"port": 8000, "path": "/metrics"},
    "system": True,
}
REFUSED: list[tuple[str, Raw, Change, str]] = [
    # names
    ("a dot in a name", EXPERIMENT, put("metadata.name", "a.b"), f"a name has at most 50 {NAME}names of its runs"),
    ("a name of 51", EXPERIMENT, put("metadata.name", "a" * 51), f"a name has at most 50 {NAME}names of its runs"),
    ("a Run's name of 58", RUN, put("metadata.name", "a" * 58), f"a name has at most 57 {NAME}host names of its pods"),
    ("a dot in a Run's name", RUN, put("metadata.name", "a.b"), f"a name has at most 57 {NAME}host names of its pods"),
    # the sources of metrics
    ("a regex without a pattern", RUN, put("spec.collect", {"stdout": {"format": "regex"}}), "regex needs a pattern"),
    (
        "a pattern without a regex",
        EXPERIMENT,
        put("spec.template.collect", {"stdout": {"format": "json", "pattern": "x"}}),
        "format regex needs a pattern, and the other formats have none",
    ),
    ("a relative path of event files", RUN, put("spec.collect", {"tensorboard": {"path": "logs"}}), "an absolute path"),
    ("a path with ..", RUN, put("spec.collect", {"tensorboard": {"path": "/a/../b"}}), "an absolute path"),
    ("a port of 0", RUN, put("spec.collect", {"prometheus": {"port": 0}}), "spec.collect.prometheus.port"),
    # the search
    ("a range in a grid", EXPERIMENT, parameter(min=0, max=1), GRID_RANGE),
    ("random without maxRuns", RANDOM, put("spec.maxRuns", ...), DRAWS),
    ("random without parameters", RANDOM, put("spec.parameters", []), DRAWS),
    ("a list in a grid", EXPERIMENT, put("spec.search", {"list": [{"a": 1}]}), LISTED),
    ("a list and parameters", LIST, parameter(values=[1]), LISTED),
    ("strategy list without a list", LIST, put("spec.search.list", ...), LISTED),
    ("an empty list", LIST, put("spec.search.list", []), "spec.search.list: Invalid value: 0: "),
    (
        "an unknown strategy",
        EXPERIMENT,
        put("spec.search", {"strategy": "tpe"}),
        'supported values: "grid", "random", "list"',
    ),
    ("a negative seed", RANDOM, put("spec.search.seed", -1), "spec.search.seed: Invalid value: -1: "),
    ("a list of lists", LIST, put("spec.search.list", [[1]]), 'spec.search.list[0]: Invalid value: "array"'),
    # parameters
    ("min above max", RANDOM, parameter(min=2, max=1), REVERSED),
    (
        "min equal to max",
        RANDOM,
        parameter(min=1, max=1),
        REVERSED,
    ),
    (
        "a logarithm of 0",
        RANDOM,
        parameter(min=0, max=1, distribution="logUniform"),
        "spec.parameters[0]: Invalid value: min must be greater than 0 when the distribution is logUniform",
    ),
    (
        "half a layer",
        RANDOM,
        parameter(min=1, max=2.5, distribution="int"),
        "spec.parameters[0]: Invalid value: min and max must be whole numbers when the distribution is int",
    ),
    (
        "an unknown distribution",
        RANDOM,
        parameter(min=0, max=1, distribution="normal"),
        'spec.parameters[0].distribution: Unsupported value: "normal"',
    ),
    (
        "values and a range",
        RANDOM,
        parameter(values=[1], min=0, max=1),
        ONE_OF,
    ),
    ("neither values nor a range", RANDOM, parameter(), ONE_OF),
    ("half a range", RANDOM, parameter(min=0), ONE_OF),
    ("no values", EXPERIMENT, parameter(values=[]), "spec.parameters[0].values: Invalid value: 0: "),
    (
        "too many values",
        EXPERIMENT,
        parameter(values=list(range(1001))),
        "Too many: 1001: must have at most 1000 items",
    ),
    (
        "a parameter twice",
        EXPERIMENT,
        put("spec.parameters.1.name", "lr"),
        'spec.parameters[1]: Duplicate value: {"name":"lr"}',
    ),
    (
        "a slash in a parameter's name",
        EXPERIMENT,
        put("spec.parameters.0.name", "a/b"),
        "a parameter's name has at most 63 letters, digits, '_', '-' and '.', and does not begin with a digit",
    ),
    (
        "a parameter without a name",
        EXPERIMENT,
        put("spec.parameters.0.name", ...),
        "spec.parameters[0].name: Required value",
    ),
    (
        "a long name of a parameter",
        EXPERIMENT,
        put("spec.parameters.0.name", "a" * 64),
        "spec.parameters[0].name: Too long: may not be more than 63",
    ),
    # numbers
    ("no parallelism", EXPERIMENT, put("spec.parallelism", 0), "spec.parallelism: Invalid value: 0: "),
    ("too much parallelism", EXPERIMENT, put("spec.parallelism", 10_001), "spec.parallelism: Invalid value: 10001: "),
    ("no runs", EXPERIMENT, put("spec.maxRuns", 0), "spec.maxRuns: Invalid value: 0: "),
    ("too many runs", EXPERIMENT, put("spec.maxRuns", 100_001), "spec.maxRuns: Invalid value: 100001: "),
    ("a negative limit", EXPERIMENT, put("spec.maxFailedRuns", -1), "spec.maxFailedRuns: Invalid value: -1: "),
    ("suspend in words", EXPERIMENT, put("spec.suspend", "yes"), 'spec.suspend: Invalid value: "string"'),
    # the objective
    ("no metric", EXPERIMENT, put("spec.objective.metric", ...), "spec.objective.metric: Required value"),
    ("an empty metric", EXPERIMENT, put("spec.objective.metric", ""), "spec.objective.metric: Invalid value"),
    ("no direction", EXPERIMENT, put("spec.objective.direction", ...), "spec.objective.direction: Required value"),
    (
        "an unknown direction",
        EXPERIMENT,
        put("spec.objective.direction", "up"),
        'spec.objective.direction: Unsupported value: "up": supported values: "maximize", "minimize"',
    ),
    ("a metric's name of 201", RUN, put("spec.objective", {"metric": "m" * 201, "direction": "minimize"}), "Too long"),
    # the registration
    (
        "a registration without a model",
        REGISTERING,
        put("spec.template.model", ...),
        "spec: Invalid value: register needs template.model.path, which says which artifact is the model",
    ),
    (
        "the best run without an objective",
        REGISTERING,
        put("spec.objective", ...),
        "spec: Invalid value: register.pick best needs an objective; every needs none",
    ),
    (
        "an unknown pick",
        REGISTERING,
        put("spec.register.pick", "first"),
        'spec.register.pick: Unsupported value: "first": supported values: "best", "every"',
    ),
    ("a registration under no name", REGISTERING, put("spec.register.model", ...), "spec.register.model: Required"),
    ("a dot in a model's name", REGISTERING, put("spec.register.model", "a.b"), "spec.register.model: Invalid value"),
    ("an empty condition", REGISTERING, put("spec.register.when", ""), "spec.register.when: Invalid value"),
    ("a long condition", REGISTERING, put("spec.register.when", "a" * 4097), "spec.register.when: Too long"),
    # the template
    ("no template", EXPERIMENT, put("spec.template", ...), "spec.template: Required value"),
    ("no Job", EXPERIMENT, put("spec.template.job", ...), "spec.template.job: Required value"),
    ("no pod template", RUN, put("spec.job.template", ...), "spec.job.template: Required value"),
    (
        "no containers",
        RUN,
        put("spec.job.template.spec.containers", []),
        "spec.job.template.spec.containers: Invalid value",
    ),
    ("no spec", RUN, put("spec", ...), "spec: Required value"),
    ("an absolute model path", RUN, put("spec.model", {"path": "/model"}), PATH),
    ("a model path that climbs", RUN, put("spec.model", {"path": "a/../../b"}), PATH),
    ("a model path with a slash at its end", RUN, put("spec.model", {"path": "model/"}), PATH),
    ("a model path that climbs, in a template", EXPERIMENT, put("spec.template.model.path", ".."), PATH),
    ("no model path", RUN, put("spec.model", {"path": ""}), "spec.model.path: Invalid value"),
    ("a source without a repository", RUN, put("spec.source", {}), "spec.source.repository: Required value"),
    ("a data set without an address", RUN, put("spec.datasets.0.uri", ...), "spec.datasets[0].uri: Required value"),
    (
        "a digest that is none",
        RUN,
        put("spec.datasets.0.digest", "sha256:abc"),
        'spec.datasets[0].digest: Invalid value: "sha256:abc"',
    ),
    (
        "a data set twice",
        RUN,
        put("spec.datasets", [{"name": "a", "uri": "s3://abc/x"}, {"name": "a", "uri": "s3://abc/y"}]),
        'spec.datasets[1]: Duplicate value: {"name":"a"}',
    ),
    (
        "a data set's name in capitals",
        RUN,
        put("spec.datasets.0.name", "Digits"),
        "spec.datasets[0].name: Invalid value",
    ),
    ("a data set by http", RUN, put("spec.datasets.0.uri", "http://h/x"), "spec.datasets[0].uri: Invalid value"),
    (
        "a data set of another kind",
        RUN,
        put("spec.datasets.0.uri", "gs://abc/x"),
        "spec.datasets[0].uri: Invalid value",
    ),
    ("a data set by a pattern", RUN, put("spec.datasets.0.uri", "s3://abc/*"), "spec.datasets[0].uri: Invalid value"),
    ("a data set with a password", RUN, put("spec.datasets.0.uri", "https://a:b@h/"), "spec.datasets[0].uri: Invalid"),
    (
        "a data set from the web without a digest",
        RUN,
        put("spec.datasets.0.uri", "https://h/x"),
        "a data set from an https:// address needs a digest",
    ),
    (
        "a data set that climbs",
        RUN,
        put("spec.datasets.0.uri", "s3://abc/x/../y/"),
        "no part of a data set's address may be '.' or '..'",
    ),
    (
        "a data set's Secret without a name",
        RUN,
        put("spec.datasets.0.secretRef", {}),
        "spec.datasets[0].secretRef.name: Required value",
    ),
    ("a seed below 0", RUN, put("spec.seed", -1), "spec.seed: Invalid value: -1"),
    (
        "a rerun of a run in another namespace",
        RUN,
        put("spec.rerunOf", {"name": "../../other/runs/r", "uid": "u"}),
        'spec.rerunOf.name: Invalid value: "../../other/runs/r"',
    ),
    (
        "a rerun of any run of that name",
        RUN,
        put("spec.rerunOf", {"name": "r"}),
        "spec.rerunOf.uid: Required value",
    ),
    (
        "a tolerance below 0",
        RUN,
        put("spec.rerunOf", {"name": "r", "uid": "u", "tolerances": {"score": -0.1}}),
        "spec.rerunOf.tolerances.score: Invalid value: -0.1",
    ),
    (
        "too many parameters",
        RUN,
        put("spec.parameters", {f"p{n}": n for n in range(65)}),
        "spec.parameters: Too many: 65: must have at most 64 items",
    ),
    ("parameters as a list", RUN, put("spec.parameters", [1]), 'spec.parameters: Invalid value: "array"'),
    (
        "a label too long for a label",
        EXPERIMENT,
        put("spec.template.metadata", {"labels": {"a": "x" * 64}}),
        "spec.template.metadata.labels.a: Too long: may not be more than 63",
    ),
]


@pytest.mark.parametrize(("manifest", "change", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_invalid_manifests_are_refused_with_a_message(dry: Api, manifest: Raw, change: Change, message: str) -> None:
    said = dry.refusal_of(changed(manifest, change))
    assert message in said


def test_a_misspelled_field_is_reported(dry: Api) -> None:
    said = dry.refusal_of(changed(EXPERIMENT, put("spec.paralelism", 2)))
    assert 'unknown field "spec.paralelism"' in said


# What is accepted

ACCEPTED: list[tuple[str, Raw, Change]] = [
    ("a grid", EXPERIMENT, put("spec.search", {"strategy": "grid"})),
    ("all sources of metrics", RUN, put("spec.collect", COLLECT)),
    ("an objective by its last value", EXPERIMENT, put("spec.objective.value", "last")),
    ("a name of 50", EXPERIMENT, put("metadata.name", "a" * 50)),
    ("a Run's name of 57", RUN, put("metadata.name", "a" * 57)),
    ("one run without parameters", EXPERIMENT, put("spec.parameters", ...)),
    ("no objective", EXPERIMENT, put("spec.objective", ...)),
    ("a random search", RANDOM, put("spec.parallelism", 10_000)),
    ("values in a random search", RANDOM, parameter(values=["a", True, 1, 0.5])),
    ("whole numbers", RANDOM, parameter(min=1, max=9, distribution="int")),
    ("a tiny logarithm", RANDOM, parameter(min=1e-12, max=1, distribution="logUniform")),
    ("a list", LIST, put("spec.parallelism", 3)),
    ("a list whose combinations differ", LIST, put("spec.search.list", [{}, {"a": 1}, {"b": "x", "c": False}])),
    ("64 parameters", RUN, put("spec.parameters", {f"p{n}": n for n in range(64)})),
    ("a folder in a folder as the model", RUN, put("spec.model", {"path": "out/model..v1"})),
    ("any field of a JobSpec", RUN, put("spec.job.podFailurePolicy", {"rules": []})),
    ("any field of a pod", RUN, put("spec.job.template.spec.tolerations", [{"key": "gpu", "operator": "Exists"}])),
    ("a target of 0", EXPERIMENT, put("spec.objective.target", 0)),
    ("a registration of the best run", REGISTERING, put("spec.register.when", ...)),
    ("a registration of every run", REGISTERING, put("spec.register.pick", "every")),
    (
        "a registration of every run without an objective",
        REGISTERING,
        lambda m: [put("spec.objective", ...)(m), put("spec.register.pick", "every")(m)],
    ),
    ("no failed run allowed", EXPERIMENT, put("spec.maxFailedRuns", 0)),
    ("the largest seed", RUN, put("spec.seed", 2**32 - 1)),
    ("a seed for every run", EXPERIMENT, put("spec.template.seed", 0)),
    (
        "a rerun with tolerances",
        RUN,
        put("spec.rerunOf", {"name": "r", "uid": "u", "tolerance": 0, "tolerances": {"val/loss": 0.5}}),
    ),
]


@pytest.mark.parametrize(("manifest", "change"), [a[1:] for a in ACCEPTED], ids=[a[0] for a in ACCEPTED])
def test_valid_manifests_are_accepted_without_loss(dry: Api, manifest: Raw, change: Change) -> None:
    wanted = changed(manifest, change)
    found = dry.try_out(wanted)["spec"]
    assert _without_defaults(wanted["spec"], found) == wanted["spec"]


def _without_defaults(wanted: Any, found: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: _without_defaults(wanted[key], value) for key, value in found.items() if key in wanted}
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [_without_defaults(*pair) for pair in zip(wanted, found, strict=True)]
    return found


def test_omitted_fields_are_stored_without_defaults(dry: Api) -> None:
    """A default that the API server stored would stay when its line is removed from Git."""
    policy = {"apiVersion": names.API_VERSION, "kind": names.PROMOTION_POLICY, "metadata": {"name": "p"}}
    weekly = {"name": "nights", "weekly": {"days": ["Mon"]}}
    for body in (
        {**EXPERIMENT, "spec": {"parameters": [{"name": "a", "values": [1]}], "template": {"job": JOB}}},
        {**RUN, "spec": {"job": JOB}},
        {**policy, "spec": {}},
        {**policy, "spec": {"match": {}, "approvals": {}, "evidence": {}, "freeze": [weekly]}},
    ):
        assert dry.try_out(body)["spec"] == body["spec"]


def test_an_object_that_loses_its_fields_is_empty_and_not_null(control_plane: Cluster, namespace: str) -> None:
    """Server-side apply of `{}` after fields were removed: with a manager for each field it would leave null."""
    policy = {"apiVersion": names.API_VERSION, "kind": names.PROMOTION_POLICY, "metadata": {"name": "p"}}
    parts = {"approvals": {"required": 0}, "evidence": {"signed": True}, "match": {"models": ["m"]}}
    apply = ("-n", namespace, "apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
    control_plane.kubectl(*apply, stdin=json.dumps({**policy, "spec": parts}))
    empty: Raw = {name: {} for name in parts}
    control_plane.kubectl(*apply, stdin=json.dumps({**policy, "spec": empty}))
    found = json.loads(control_plane.kubectl("-n", namespace, "get", "promotionpolicy", "p", "-o", "json"))
    assert found["spec"] == empty


# What cannot be changed

TEMPLATE = "template cannot be changed: create a new Experiment"
PARAMETERS = "parameters cannot be changed: create a new Experiment"
SEARCH = "search cannot be changed: create a new Experiment"
OBJECTIVE = "objective cannot be changed: runs that were made for another objective are not comparable"
REGISTER = "register cannot be changed: create a new Experiment, or a ModelVersion that names the run"
SPEC = "a Run's spec cannot be changed: create a new Run"
POD = "spec.job.template.spec"

FIXED: list[tuple[str, Raw, Change, str]] = [
    ("the objective's metric", EXPERIMENT, put("spec.objective.metric", "loss"), OBJECTIVE),
    ("the objective's target", EXPERIMENT, put("spec.objective.target", 1), OBJECTIVE),
    ("the objective removed", EXPERIMENT, put("spec.objective", ...), OBJECTIVE),
    ("an objective added", LIST, put("spec.objective", {"metric": "a", "direction": "minimize"}), OBJECTIVE),
    ("the owner", EXPERIMENT, put("spec.owner", "mallory"), "owner cannot be changed"),
    ("a value", EXPERIMENT, put("spec.parameters.0.values", [0.1, 0.3]), PARAMETERS),
    ("a further value", EXPERIMENT, put("spec.parameters.0.values", [0.1, 0.2, 0.3]), PARAMETERS),
    ("the order of values", EXPERIMENT, put("spec.parameters.0.values", [0.2, 0.1]), PARAMETERS),
    ("a text for a number", EXPERIMENT, put("spec.parameters.0.values", ["0.1", 0.2]), PARAMETERS),
    ("the order of parameters", EXPERIMENT, lambda m: m["spec"]["parameters"].reverse(), PARAMETERS),
    ("one parameter fewer", EXPERIMENT, lambda m: m["spec"]["parameters"].pop(), PARAMETERS),
    ("a range", RANDOM, put("spec.parameters.0.max", 0.2), PARAMETERS),
    ("the strategy", EXPERIMENT, lambda m: m["spec"].update(search={"strategy": "random"}, maxRuns=2), SEARCH),
    ("the seed", RANDOM, put("spec.search.seed", 2), SEARCH),
    ("a combination", LIST, put("spec.search.list.1.lr", 0.3), SEARCH),
    ("a combination with one more", LIST, put("spec.search.list.1.depth", 3), SEARCH),
    ("the model that is registered", REGISTERING, put("spec.register.model", "letters"), REGISTER),
    ("when a run is registered", REGISTERING, put("spec.register.when", "true"), REGISTER),
    ("no more condition", REGISTERING, put("spec.register.when", ...), REGISTER),
    ("which run is registered", REGISTERING, put("spec.register.pick", "every"), REGISTER),
    ("no more registration", REGISTERING, put("spec.register", ...), REGISTER),
    ("a registration later", EXPERIMENT, put("spec.register", {"model": "digits"}), REGISTER),
    ("the source", EXPERIMENT, put("spec.template.source.revision", "abc"), TEMPLATE),
    ("the model", EXPERIMENT, put("spec.template.model", ...), TEMPLATE),
    ("the runs' labels", EXPERIMENT, put("spec.template.metadata", {"labels": {"a": "b"}}), TEMPLATE),
    ("a field of the Job", EXPERIMENT, put("spec.template.job.backoffLimit", 2), TEMPLATE),
    ("a new field of the Job", EXPERIMENT, put("spec.template.job.completions", 2), TEMPLATE),
    ("an image", EXPERIMENT, put("spec.template.job.template.spec.containers.0.image", "b"), TEMPLATE),
    ("a new field of a container", EXPERIMENT, put("spec.template.job.template.spec.containers.0.tty", True), TEMPLATE),
    ("labels of the pod", EXPERIMENT, put("spec.template.job.template.metadata", {"labels": {"a": "b"}}), TEMPLATE),
    ("a Run's parameter", RUN, put("spec.parameters.lr", 0.2), SPEC),
    ("a Run's parameter of another type", RUN, put("spec.parameters.lr", "0.1"), SPEC),
    ("one more parameter of a Run", RUN, put("spec.parameters.depth", 2), SPEC),
    ("one parameter of a Run fewer", RUN, put("spec.parameters.lr", ...), SPEC),
    ("a Run's objective", RUN, put("spec.objective", {"metric": "a", "direction": "minimize"}), SPEC),
    ("a Run's data set", RUN, put("spec.datasets.0.version", "2"), SPEC),
    ("a Run's model", RUN, put("spec.model", {"path": "model"}), SPEC),
    ("a field of a Run's Job", RUN, put("spec.job.suspend", True), SPEC),
    ("an image of a Run", RUN, put(f"{POD}.containers.0.image", "b"), SPEC),
    ("a nested field of a Run's pod", RUN, put(f"{POD}.affinity", {"nodeAffinity": {}}), SPEC),
    ("one more container of a Run", RUN, lambda m: m["spec"]["job"]["template"]["spec"]["containers"].append(
        {"name": "more"}), SPEC),
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(dry: Api) -> Api:
    """A namespace in which one object of each sort is stored."""
    for manifest in (EXPERIMENT, RANDOM, LIST, REGISTERING, RUN):
        name = name_of(manifest)
        dry.kubectl("create", "-f-", stdin=json.dumps(changed(manifest, put("metadata.name", name))))
    return dry


def name_of(manifest: Raw) -> str:
    if manifest["kind"] == "Run":
        return "run"
    if "register" in manifest["spec"]:
        return "register"
    return str(manifest["spec"].get("search", {}).get("strategy", "grid"))


@pytest.mark.parametrize(("manifest", "change", "message"), [f[1:] for f in FIXED], ids=[f[0] for f in FIXED])
def test_immutable_fields_cannot_be_replaced(stored: Api, manifest: Raw, change: Change, message: str) -> None:
    wanted = changed(changed(manifest, change), put("metadata.name", name_of(manifest)))
    said = stored.refusal("replace", "--dry-run=server", "-f-", manifest=wanted)
    assert f"spec: Invalid value: {message}" in said


PATCHES = [
    ("run", "json", [{"op": "replace", "path": "/spec/job/template/spec/containers/0/image", "value": "b"}], SPEC),
    ("run", "json", [{"op": "remove", "path": "/spec/job/backoffLimit"}], SPEC),
    ("run", "merge", {"spec": {"parameters": {"lr": None}}}, SPEC),
    ("run", "merge", {"spec": {"job": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}}, SPEC),
    ("experiment/grid", "merge", {"spec": {"template": {"job": {"backoffLimit": None}}}}, TEMPLATE),
    ("experiment/grid", "merge", {"spec": {"template": None}}, "spec.template: Required value"),
    ("experiment/grid", "json", [{"op": "add", "path": "/spec/parameters/0/values/-", "value": 1}], PARAMETERS),
    ("experiment/list", "json", [{"op": "add", "path": "/spec/search/list/-", "value": {"lr": 1}}], SEARCH),
    ("experiment/grid", "merge", {"spec": {"objective": None}}, OBJECTIVE),
    ("experiment/register", "merge", {"spec": {"register": None}}, REGISTER),
    ("experiment/register", "json", [{"op": "replace", "path": "/spec/register/when", "value": "true"}], REGISTER),
]


@pytest.mark.parametrize(
    ("what", "kind", "patch", "message"), PATCHES, ids=[f"{p[0]} {json.dumps(p[2])}" for p in PATCHES]
)
def test_immutable_fields_cannot_be_patched(stored: Api, what: str, kind: str, patch: Any, message: str) -> None:
    name = what if "/" in what else "run/run"
    said = stored.refusal("patch", name, "--dry-run=server", f"--type={kind}", f"--patch={json.dumps(patch)}")
    assert message in said


APPLIED: list[tuple[str, Raw, Change, str]] = [
    ("a Run's parameters", RUN, put("spec.parameters", {"lr": 0.3}), SPEC),
    ("a Run's Job", RUN, put("spec.job.backoffLimit", 3), SPEC),
    ("an Experiment's Job", EXPERIMENT, put("spec.template.job.template.spec.containers.0.image", "b"), TEMPLATE),
    ("an Experiment's values", EXPERIMENT, put("spec.parameters.1.values", [7]), PARAMETERS),
    ("an Experiment's objective", EXPERIMENT, put("spec.objective.direction", "minimize"), OBJECTIVE),
    ("an Experiment's registration", REGISTERING, put("spec.register.model", "letters"), REGISTER),
    ("an Experiment's list", LIST, put("spec.search.list", [{"lr": 9}]), SEARCH),
]


@pytest.mark.parametrize(("manifest", "change", "message"), [a[1:] for a in APPLIED], ids=[a[0] for a in APPLIED])
def test_immutable_fields_cannot_be_changed_by_apply(stored: Api, manifest: Raw, change: Change, message: str) -> None:
    wanted = changed(changed(manifest, change), put("metadata.name", name_of(manifest)))
    flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=somebody")
    assert message in stored.refusal("apply", *flags, "-f-", manifest=wanted)


def test_applying_the_same_again_changes_nothing(api: Api) -> None:
    text = json.dumps(EXPERIMENT)
    api.kubectl("apply", "--server-side", "-f-", stdin=text)
    before = api.get("experiment/sweep")["metadata"]["resourceVersion"]
    api.kubectl("apply", "--server-side", "-f-", stdin=text)
    assert api.get("experiment/sweep")["metadata"]["resourceVersion"] == before


# What can be changed


def test_four_fields_of_an_experiment_can_be_changed(api: Api) -> None:
    api.kubectl("create", "-f-", stdin=json.dumps(EXPERIMENT))
    wanted = {"parallelism": 4, "maxRuns": 3, "maxFailedRuns": 1, "suspend": False}
    api.kubectl("patch", "exp", "sweep", "--type=merge", f"--patch={json.dumps({'spec': wanted})}")
    found = api.get("experiment/sweep")
    assert {key: found["spec"][key] for key in wanted} == wanted
    assert found["metadata"]["generation"] == 2
    api.kubectl("patch", "exp", "sweep", "--type=merge", '--patch={"spec":{"maxRuns":null,"maxFailedRuns":null}}')
    assert "maxRuns" not in api.get("experiment/sweep")["spec"]


def test_labels_and_annotations_are_the_users(api: Api) -> None:
    api.kubectl("create", "-f-", stdin=json.dumps(RUN))
    api.kubectl("label", "run", "one", "team=vision")
    api.kubectl("annotate", "run", "one", "note=second try")
    assert api.get("run/one")["metadata"]["generation"] == 1


# Status

RUN_STATUS: Raw = {
    "phase": "Succeeded",
    "reason": "JobComplete",
    "message": "done",
    "objective": "0.93",
    "duration": "1m20s",
    "record": {"uri": "s3://assay/runs/x/", "complete": True},
    "metrics": {"score": {"last": 0.9, "min": 0.1, "max": 0.93, "best": 0.93, "step": 7}},
    "conditions": [
        {
            "type": "Complete",
            "status": "True",
            "reason": "JobComplete",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }
    ],
}
EXPERIMENT_STATUS: Raw = {
    "phase": "Running",
    "progress": "2/4",
    "runs": {"running": 1, "failed": 1},
    "best": {"run": "sweep-0", "value": 0.93, "display": "0.93", "parameters": {"lr": 0.1, "kind": "a"}},
    "duration": "5s",
}


#: The operator alone writes statuses where the admission policies are in force.
STATUS = ("--subresource=status", "--type=merge", *registry.AS_OPERATOR)


def write_status(api: Api, what: str, status: Raw) -> None:
    api.kubectl("patch", what, *STATUS, f"--patch={json.dumps({'status': status})}")


def test_the_status_is_written_apart_from_the_spec(api: Api) -> None:
    api.kubectl("create", "-f-", stdin=json.dumps({**RUN, "status": RUN_STATUS}))
    assert "status" not in api.get("run/one"), "a user can write a status"
    write_status(api, "run/one", RUN_STATUS)
    found = api.get("run/one")
    assert _without_defaults(RUN_STATUS, found["status"]) == RUN_STATUS
    assert found["metadata"]["generation"] == 1
    patch = {"status": {"phase": "Running"}, "spec": {"parameters": {"lr": 9}}}
    api.kubectl("patch", "run/one", *STATUS, f"--patch={json.dumps(patch)}")
    found = api.get("run/one")
    assert (found["status"]["phase"], found["spec"]["parameters"]["lr"]) == ("Running", 0.1)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"phase": "Done"}, 'status.phase: Unsupported value: "Done"'),
        (
            {"conditions": RUN_STATUS["conditions"] * 2},
            'status.conditions[1]: Duplicate value: {"type":"Complete"}',
        ),
        ({"attempts": [{"pod": f"p{n}", "phase": "Failed"} for n in range(11)]}, "Too many: 11: must have at most 10"),
        ({"metrics": {f"m{n}": {"last": 1, "min": 1, "max": 1, "step": 1} for n in range(101)}}, "Too many: 101"),
    ],
)
def test_the_status_does_not_grow_without_bounds(stored: Api, status: Raw, message: str) -> None:
    patch = f"--patch={json.dumps({'status': status})}"
    said = stored.refusal("patch", "run/run", *STATUS, "--dry-run=server", patch)
    assert message in said


# What kubectl shows


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of what `kubectl get` prints, by column; a column begins where its head begins."""
    head, *rows = text.rstrip("\n").splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", head)]
    ends = [*starts[1:], None]
    cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in [head, *rows]]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def test_kubectl_get_shows_the_state_of_all_objects(api: Api) -> None:
    objective = {"metric": "score", "direction": "maximize"}
    api.kubectl("create", "-f-", stdin=json.dumps(EXPERIMENT))
    api.kubectl("create", "-f-", stdin=json.dumps(changed(RUN, put("spec.objective", objective))))
    write_status(api, "experiment/sweep", EXPERIMENT_STATUS)
    write_status(api, "run/one", RUN_STATUS)
    experiments, runs = api.kubectl("get", "exp,run").split("\n\n")
    (experiment,), (run,) = table(experiments), table(runs)
    assert experiment.pop("AGE")
    assert experiment == {
        "NAME": "experiment.assay.dev/sweep",
        "PHASE": "Running",
        "PROGRESS": "2/4",
        "RUNNING": "1",
        "FAILED": "1",
        "METRIC": "score",
        "BEST": "0.93",
        "BEST-RUN": "sweep-0",
        "DURATION": "5s",
    }
    assert run.pop("AGE")
    assert run == {
        "NAME": "run.assay.dev/one",
        "PHASE": "Succeeded",
        "REASON": "JobComplete",
        "METRIC": "score",
        "VALUE": "0.93",
        "DURATION": "1m20s",
        "RECORD": "true",
    }
    (wide,) = table(api.kubectl("get", "run", "one", "-owide"))
    assert (wide["MESSAGE"], wide["RECORD-URI"]) == ("done", "s3://assay/runs/x/")


def test_kubectl_get_assay_lists_experiments_and_runs(api: Api) -> None:
    for manifest in (EXPERIMENT, RUN):
        api.kubectl("create", "-f-", stdin=json.dumps(manifest))
    assert api.kubectl("get", "assay", "-oname").split() == ["experiment.assay.dev/sweep", "run.assay.dev/one"]


def explain(api: Api, path: str) -> str:
    return re.sub(r"\s+", " ", api.kubectl("explain", path))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("experiment", "An Experiment searches for good parameters: it has an objective, a search space"),
        ("experiment.spec.search", "How the parameters of runs are chosen."),
        ("experiment.spec.search", "random: maxRuns draws. list: the combinations of the list, in order."),
        ("experiment.spec.search", "enum: grid, random, list"),
        ("experiment.spec.parameters.values", "A grid search tries all of them; a random search draws from them."),
        ("experiment.spec.template.job", "any field of a JobSpec is allowed."),
        ("exp.status.best", "The best run so far"),
        ("run.spec", "Immutable."),
        ("run.status.record.complete", "Whether every file of the manifest was found in the store."),
    ],
)
def test_explain_reads_like_documentation(dry: Api, path: str, words: str) -> None:
    assert words in explain(dry, path)


def test_kubectl_explain_describes_every_field(dry: Api) -> None:
    for kind in ("experiment", "run"):
        for part in ("spec", "status"):
            text = dry.kubectl("explain", f"{kind}.{part}", "--recursive=false")
            fields = re.split(r"(?m)^  (?=\S+\t<)", text.split("FIELDS:")[1])[1:]
            assert fields
            silent = [field.split("\t")[0] for field in fields if len(field.splitlines()) < 2]
            assert not silent, f"{kind}.{part}: nothing is said of {silent}"


def test_the_schema_of_jobs_is_the_api_servers(local_cluster: LocalCluster) -> None:
    document = json.loads(local_cluster.kubectl("get", "--raw", "/openapi/v3/apis/batch/v1"))
    assert job_schema.written(document) == jobs.FILE.read_text(), "run `python -m tests.job_schema`"
