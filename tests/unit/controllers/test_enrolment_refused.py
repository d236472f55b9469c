"""A refused registration is tried again when the refusal may change: rights, quotas and policies do."""

from typing import Any

import pytest

from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.resources import MODEL_VERSIONS, RUNS
from assay.controllers.registry import enrolment
from assay.controllers.runtime.queue import BackOff, Key
from assay.kube.errors import ApiError
from tests.registry import digest
from tests.unit.controllers.fakes import Parts
from tests.unit.planning.objects import at, experiment_spec, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
RBAC = 'modelversions.assay.dev is forbidden: User "system:serviceaccount:a:b" cannot create resource'
SWEEP = Key("Experiment", "team", "sweep")


def world(pick: str) -> tuple[Parts, Raw, Raw]:
    """Return the parts with an experiment whose only run has succeeded and left a model."""
    spec = experiment_spec(
        owner="dora",
        parameters=[{"name": "lr", "values": [1]}],
        register={"model": "digits", "pick": pick},
        **({"objective": {"metric": "loss", "direction": "minimize"}} if pick == "best" else {}),
    )
    spec["template"]["model"] = {"path": "model"}
    experiment = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {
            "name": "sweep",
            "namespace": "team",
            "uid": "uid-sweep",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": at(0),
        },
        "spec": spec,
    }
    ended = run(owner="dora", **({"objective": spec["objective"]} if pick == "best" else {}))
    ended["metadata"]["creationTimestamp"] = at(1)
    ended["status"] = {
        "phase": "Succeeded",
        "experimentUid": "uid-sweep",
        "metrics": {"loss": {"last": 0.1, "best": 0.1}},
        "record": {"complete": True, "uri": "s3://b/r/", "artifacts": "s3://b/r/pods/p/artifacts/"},
        "model": {"path": "model", "digest": digest(), "size": 1},
    }
    parts = Parts()
    parts.store.answers["allocate"] = 1
    parts.tracking.upsert_experiment(experiment)
    parts.tracking.upsert_run(parts.kube.put(RUNS, ended))
    return parts, experiment, ended


async def of_experiment(parts: Parts, experiment: Raw, status: ExperimentStatus) -> ExperimentStatus:
    return await enrolment.of_experiment(parts, experiment, ExperimentSpec.model_validate(experiment["spec"]), status)


def registered(status: ExperimentStatus) -> tuple[str, str, str]:
    [found] = [each for each in status.conditions if each.type == "Registered"]
    return found.status, found.reason, found.message


async def test_the_best_run_is_registered_once_it_is_no_longer_refused() -> None:
    parts, experiment, _ = world("best")
    over = ExperimentStatus.model_validate({"completionTime": at(60)})
    parts.kube.refusals["create", "modelversions"] = ApiError(403, "Forbidden", RBAC)
    waiting = await of_experiment(parts, experiment, over)
    assert registered(waiting)[:2] == ("False", "RegistrationRefused")
    assert RBAC in registered(waiting)[2]
    assert parts.queue.added[SWEEP], "nothing else would reconcile the experiment again"
    done = await of_experiment(parts, experiment, waiting)
    assert registered(done)[:2] == ("True", "Registered")


async def test_every_run_is_registered_once_it_is_no_longer_refused() -> None:
    parts, _, ended = world("every")
    parts.kube.refusals["create", "modelversions"] = ApiError(403, "Forbidden", RBAC)
    with pytest.raises(BackOff):
        await enrolment.each_run(parts, ended)
    assert parts.events.reasons == ["RegistrationRefused"]
    await enrolment.each_run(parts, ended)
    assert len(parts.kube.all(MODEL_VERSIONS)) == 1


@pytest.mark.parametrize("pick", ["best", "every"])
async def test_an_invalid_version_is_not_tried_again(pick: str) -> None:
    parts, experiment, ended = world(pick)
    parts.kube.refusals["create", "modelversions"] = ApiError(422, "Invalid", "spec.model: too long")
    if pick == "every":
        await enrolment.each_run(parts, ended)
    else:
        await of_experiment(parts, experiment, ExperimentStatus.model_validate({"completionTime": at(60)}))
    assert not parts.queue.added[SWEEP]
    assert parts.audit.actions == ["RegistrationRefused"]
