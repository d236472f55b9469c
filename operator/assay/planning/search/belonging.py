"""Which runs belong to an experiment: those that the operator created for it, in its namespace.

An owner reference alone is no proof: without the admission policy `assay-links`, anybody can write one. The operator
records the experiment in the status of each run that it creates. A run without this record is compared with the run
that the operator would create.
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
    """Return Run number ``index`` of an experiment, ready to be created."""
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
    """Return the UID of the Experiment that a Run claims: from its status, else its controller; "" if there is none."""
    return str((run.get("status") or {}).get("experimentUid") or "") or controller_uid(run, names.EXPERIMENT)


def belongs(run: Raw, experiment: Raw | None) -> bool:
    """Return whether the operator created a Run for an Experiment. Both are raw objects from the API server."""
    if experiment is None or experiment["metadata"]["namespace"] != run["metadata"]["namespace"]:
        return False
    noted = (run.get("status") or {}).get("experimentUid")
    if noted:
        return bool(noted == experiment["metadata"]["uid"])
    return controller_uid(run, names.EXPERIMENT) == experiment["metadata"]["uid"] and _as_made_for(run, experiment)


def _as_made_for(run: Raw, experiment: Raw) -> bool:
    """Return whether a Run equals the one that the operator would create. If so, its creator does not matter."""
    index = run_facts(run).index
    if run["metadata"]["name"] != space.run_name(experiment["metadata"]["name"], index):
        return False
    try:
        return same_recipe(run["spec"], experiment, _parsed(json.dumps(experiment["spec"], sort_keys=True)), index)
    except (pydantic.ValidationError, IndexError, ValueError):
        return False


def same_recipe(run_spec: Raw, experiment: Raw, spec: ExperimentSpec, index: int) -> bool:
    """Return whether the spec of a Run equals that of run number ``index`` of an experiment, the owner included.

    Retention may have changed since the run was created; it does not affect how the run was made. Raises IndexError,
    ValueError and pydantic's ValidationError if either is invalid.
    """
    wanted = RunSpec.model_validate(_run_spec(experiment, spec, index)).model_copy(update={"retention": None})
    return RunSpec.model_validate({**run_spec, "retention": None}) == wanted


@functools.lru_cache(maxsize=64)
def _parsed(spec: str) -> ExperimentSpec:
    return ExperimentSpec.model_validate_json(spec)
