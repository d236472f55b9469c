"""Which runs are an experiment's: those that the operator made for it, in its namespace.

An owner reference alone says nothing: where the admission policy `assay-links` is not in force, anybody can write one.
The operator notes the experiment in the status of each run that it has made; a run without such a note is held against
what the operator would make.
"""

import functools
import json

import pydantic

from assay.api import names
from assay.api.experiment import ExperimentSpec
from assay.api.objects import Raw
from assay.api.run import RunSpec
from assay.planning.runs.facts import controller_uid, run_facts
from assay.planning.runs.job import inheritable, owner_reference
from assay.planning.search import space


def run_body(experiment: Raw, spec: ExperimentSpec, index: int) -> Raw:
    """Return the Run number ``index`` of an experiment, ready to be created."""
    metadata = experiment["metadata"]
    wanted = experiment["spec"]["template"].get("metadata") or {}
    labels = {names.LABEL_EXPERIMENT: metadata["name"], names.LABEL_INDEX: str(index)}
    annotations = inheritable(wanted.get("annotations"))
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.RUN,
        "metadata": {
            "name": space.run_name(metadata["name"], index),
            "namespace": metadata["namespace"],
            "labels": {**inheritable(wanted.get("labels")), **labels},
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner_reference(experiment)],
        },
        "spec": _run_spec(experiment, spec, index),
    }


def _run_spec(experiment: Raw, spec: ExperimentSpec, index: int) -> Raw:
    template = {key: value for key, value in experiment["spec"]["template"].items() if key != "metadata"}
    inherited = ("objective", "owner", "retention")
    given = {key: experiment["spec"][key] for key in inherited if key in experiment["spec"]}
    return {**template, "parameters": space.parameters_of(spec, index), **given}


def claimed_experiment(run: Raw) -> str:
    """Return the UID of the Experiment that a Run names: the noted one, else its controller; "" when there is none."""
    return str((run.get("status") or {}).get("experimentUid") or "") or controller_uid(run, names.EXPERIMENT)


def belongs(run: Raw, experiment: Raw | None) -> bool:
    """Return whether the operator made a Run for an Experiment. Both are raw objects, as the API server has them."""
    if experiment is None or experiment["metadata"]["namespace"] != run["metadata"]["namespace"]:
        return False
    noted = (run.get("status") or {}).get("experimentUid")
    if noted:
        return bool(noted == experiment["metadata"]["uid"])
    return controller_uid(run, names.EXPERIMENT) == experiment["metadata"]["uid"] and _as_made_for(run, experiment)


def _as_made_for(run: Raw, experiment: Raw) -> bool:
    """Return whether a Run is what the operator would make: only then does it matter to nobody who has made it."""
    index = run_facts(run).index
    if run["metadata"]["name"] != space.run_name(experiment["metadata"]["name"], index):
        return False
    try:
        spec = _parsed(json.dumps(experiment["spec"], sort_keys=True))
        wanted = RunSpec.model_validate(_run_spec(experiment, spec, index))
        # Retention may have been changed since: it says nothing of how the run was made.
        return RunSpec.model_validate({**run["spec"], "retention": None}) == wanted.model_copy(
            update={"retention": None}
        )
    except (pydantic.ValidationError, IndexError, ValueError):
        return False


@functools.lru_cache(maxsize=64)
def _parsed(spec: str) -> ExperimentSpec:
    return ExperimentSpec.model_validate_json(spec)
