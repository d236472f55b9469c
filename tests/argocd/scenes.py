"""Objects in every state that a health check tells apart, with the status that the operator's own code gives them.

They are written to the testdata of charts/assay/argocd, which Argo CD's tests read too; by hand nobody could keep
them like what the operator writes.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from assay.api import names
from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.modelalias import ModelAliasStatus, ServingStatus, SetAside
from assay.api.modelversion import ArtifactStatus, HeldStatus, ModelVersionStatus
from assay.api.promotionpolicy import PromotionPolicyStatus
from assay.api.run_status import RunStatus
from assay.planning.conditions import flag
from assay.planning.models import registration, versions
from assay.planning.promotion import binding, report
from assay.planning.promotion.binding import Move
from assay.planning.promotion.policies import Requirement
from assay.planning.runs import facts, outcome, phases, recipe
from assay.planning.runs.facts import RunFacts
from assay.planning.runs.outcome import Record
from assay.planning.search import sweep
from tests.unit.planning.objects import container, ended, job, job_over, pod

Raw = dict[str, Any]
Scene = Callable[[], Raw]

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = "sha256:" + "2" * 64
ARGO_CD = "system:serviceaccount:ml-prod:assay-deployer"
TRAIN = {
    "backoffLimit": 0,
    "template": {
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "train",
                    "image": "train:1",
                    "args": ["--lr=$(PARAM_learning_rate)"],
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                }
            ],
            # Empty: what a round trip through Lua turns into a list.
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        }
    },
}
EXPERIMENT = {
    "owner": "dora",
    "objective": {"metric": "val_accuracy", "direction": "maximize"},
    "parameters": [{"name": "learning_rate", "values": [0.3, 0.1, 0.03, 0.01], "distribution": "uniform"}],
    "search": {"strategy": "grid", "seed": 0},
    "parallelism": 2,
    "maxFailedRuns": 1,
    "suspend": False,
    "register": {"model": "digits", "pick": "best"},
    "template": {"model": {"path": "model"}, "job": TRAIN},
}


def _object(kind: str, name: str, spec: Raw, status: Raw | None = None, generation: int = 1, **metadata: Any) -> Raw:
    known = {"name": name, "namespace": "ml-prod", "generation": generation, **metadata}
    body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": known, "spec": spec}
    return body if status is None else {**body, "status": status}


# Experiment


def _experiment(
    *phases_: str,
    over: bool = False,
    told: Raw | None = None,
    without: tuple[str, ...] = (),
    reason: str = "",
    **change: Any,
) -> Raw:
    """Return an Experiment whose runs are in these phases; ``told`` is what is known of the registration."""
    raw = {key: value for key, value in (EXPERIMENT | change).items() if key not in without}
    spec = ExperimentSpec.model_validate(raw)
    runs = [
        RunFacts(index, f"sweep-{index}", phase, 0.9 + index / 100, reason=reason)
        for index, phase in enumerate(phases_)
    ]
    status = ExperimentStatus()
    for minutes in (0, 10):
        now = NOW + timedelta(minutes=minutes)
        status = sweep.plan(spec, status, runs, generation=1, now=now).status
    if spec.register_ is not None:
        found = registration.condition(spec.register_, over=over, **(told or {}))
        version = (told or {}).get("registered", ("",))[0]
        status = registration.told(status, found, version, generation=1, now=NOW)
    return _object(names.EXPERIMENT, "sweep", raw, status.to_dict())


def _new_spec() -> Raw:
    body = _experiment("Running")
    return {**body, "metadata": {**body["metadata"], "generation": 2}}


_FOUR = ("Succeeded", "Failed", "Succeeded", "Succeeded")
EXPERIMENTS: dict[str, Scene] = {
    "progressing_new": lambda: _object(names.EXPERIMENT, "sweep", EXPERIMENT),
    "progressing_newGeneration": _new_spec,
    "progressing_runsActive": lambda: _experiment("Succeeded", "Failed", "Running"),
    "progressing_noRunCanStart": lambda: _experiment("Pending", "Pending", reason="ImagePullBackOff"),
    "progressing_registering": lambda: _experiment(*_FOUR),
    "suspended": lambda: _experiment("Succeeded", "Suspended", suspend=True),
    "healthy_withoutRegistration": lambda: _experiment(*_FOUR, without=("register",)),
    "healthy_registered": lambda: _experiment(*_FOUR, over=True, told={"registered": ("digits.v1", "sweep-3")}),
    "healthy_noRunQualifies": lambda: _experiment(*_FOUR, over=True, told={"none": "none of 3 runs qualifies"}),
    "healthy_endedWhileSuspended": lambda: _experiment(
        *_FOUR, over=True, told={"registered": ("digits.v1", "sweep-3")}, suspend=True
    ),
    "degraded_tooManyFailedRuns": lambda: _experiment("Failed", "Failed", over=True),
    "degraded_invalidSearch": lambda: _experiment(parameters=[{"name": "a", "values": [[1]]}]),
    "degraded_registrationRefused": lambda: _experiment(
        *_FOUR, over=True, told={"refused": ("sweep-3", "dora may not create modelversions.assay.dev")}
    ),
}


# Run


def _run(raw_job: Raw | None, *pods: Raw, held: bool = False, record: Record | None = None) -> Raw:
    job_facts = facts.job_facts(raw_job) if raw_job else None
    found = [facts.pod_facts(each) for each in pods]
    judged = phases.judge(job_facts, found, held=held)
    status = outcome.follow(RunStatus(), judged, job_facts, found, generation=1, now=NOW)
    if judged.ended:
        status = outcome.end(status, record, job_facts, generation=1, now=NOW)
    spec = {"owner": "dora", "parameters": {"learning_rate": 0.1}, "model": {"path": "model"}, "job": TRAIN}
    return _object(names.RUN, "sweep-0", spec, status.to_dict())


def _record(problem: tuple[str, str] | None = None) -> Record:
    uri = "s3://assay/runs/ml-prod/sweep/sweep-0/0b5c5a2e/"
    manifest = "" if problem else DIGEST
    model = ("model", DIGEST, 99) if not problem else ("", "", 0)
    return Record(problem is None, problem, uri, None, None, manifest, 7, 1234, *model)


_DONE = pod("Succeeded", ended(0), init=[ended(0, name="assay-recorder")])
_OUT_OF_MEMORY = pod("Failed", ended(137, "OOMKilled"), init=[ended(0, name="assay-recorder")])
RUNS: dict[str, Scene] = {
    "progressing_new": lambda: _object(names.RUN, "sweep-0", {"job": TRAIN}),
    "progressing_unschedulable": lambda: _run(
        job({"active": 1}),
        pod(
            "Pending",
            init=[],
            conditions=[
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node has a GPU"}
            ],
        ),
    ),
    "progressing_training": lambda: _run(job({"active": 1}), pod("Running", container("running"))),
    "suspended": lambda: _run(None, held=True),
    "healthy_succeeded": lambda: _run(job(job_over("Complete")), _DONE, record=_record()),
    "degraded_outOfMemory": lambda: _run(
        job(job_over("Failed", "BackoffLimitExceeded")), _OUT_OF_MEMORY, record=_record()
    ),
    "degraded_recordIncomplete": lambda: _run(
        job(job_over("Complete")),
        _DONE,
        record=_record((names.MANIFEST_MISSING, "no pod has left a complete record in the store")),
    ),
}


# ModelVersion


def _version(status: ModelVersionStatus | None = None, *, archived: bool = False, held: bool = False) -> Raw:
    spec = {
        "owner": "dora",
        "model": "digits",
        "version": 2,
        "artifact": {"digest": DIGEST},
        "run": {"name": "sweep-0", "uid": "0b5c5a2e"},
    }
    if status is None:
        return _object(names.MODEL_VERSION, "digits.v2", spec)
    stretches = [HeldStatus(alias="champion", from_=NOW)] if held else []
    told = versions.summarise(status, stretches, archived=archived, generation=1, now=NOW)
    labels = {names.LABEL_ARCHIVED: "true"} if archived else {names.LABEL_BOUND: "true"} if held else {}
    metadata: Raw = {"labels": labels} if labels else {}
    return _object(names.MODEL_VERSION, "digits.v2", spec, told.to_dict(), **metadata)


def _copying() -> ModelVersionStatus:
    return versions.copying(ModelVersionStatus(), "the bytes are being copied", generation=1, now=NOW)


def _registered() -> ModelVersionStatus:
    artifact = ArtifactStatus(uri="s3://assay/models/ml-prod/digits/v2/", digest=DIGEST, files=2, bytes=7)
    origin = flag(True, names.FROM_RUN, "it matches the record of run sweep-0")
    return versions.registered(_copying(), artifact, None, origin, generation=1, now=NOW)


def _refused() -> ModelVersionStatus:
    said = f"the bytes have the digest sha256:{'3' * 64}, the manifest says {DIGEST}"
    refusal = versions.Refused(names.DIGEST_MISMATCH, said)
    return versions.refused(_copying(), refusal, generation=1, now=NOW)


VERSIONS: dict[str, Scene] = {
    "progressing_new": _version,
    "progressing_copying": lambda: _version(_copying()),
    "healthy_ready": lambda: _version(_registered()),
    "healthy_live": lambda: _version(_registered(), held=True),
    "healthy_archived": lambda: _version(_registered(), archived=True),
    "degraded_digestMismatch": lambda: _version(_refused()),
}


# ModelAlias


def _bound(*moved: int) -> ModelAliasStatus:
    status = ModelAliasStatus()
    for minutes, version in enumerate(moved):
        at = NOW + timedelta(minutes=minutes)
        status = binding.bind(status, Move(version, DIGEST, ARGO_CD, "", at, generation=version))
    return status


def _alias(status: ModelAliasStatus, wanted: int, *followers: ServingStatus, generation: int | None = None) -> Raw:
    """Return an alias that wants a version; the generation of its spec is the version's number unless given."""
    told = binding.summarise(status, wanted, followers, generation=wanted, now=NOW)
    spec = {"model": "digits", "alias": "champion", "version": wanted}
    moved = {"annotations": {names.ANNOTATION_MOVED_BY: ARGO_CD}}
    return _object(names.MODEL_ALIAS, "digits.champion", spec, told.to_dict(), generation or wanted, **moved)


def _held(requirement: str, message: str) -> ModelAliasStatus:
    return binding.hold(_bound(1), [Requirement("release", requirement, False, message)])


def _back(reason: str, message: str) -> ModelAliasStatus:
    """Return the status of an alias that has come back from version 2 to version 1."""
    aside = SetAside.model_validate(
        {"version": 2, "generation": 2, "reason": reason, "message": message, "at": NOW + timedelta(minutes=9)}
    )
    actor = "walter" if reason == names.ROLLED_BACK else names.operator_user(names.DEFAULT_NAMESPACE)
    return binding.bind(_bound(1, 2), Move(1, DIGEST, actor, message, NOW + timedelta(minutes=9), 2), aside)


def _server(version: int, **fields: Any) -> ServingStatus:
    return ServingStatus(kind="Deployment", name="digits-server", version=version, **fields)


_CRASHED = "container server of pod digits-server-7d9f exits with code 1"
ALIASES: dict[str, Scene] = {
    "progressing_new": lambda: _object(
        names.MODEL_ALIAS, "digits.champion", {"model": "digits", "alias": "champion", "version": 1}
    ),
    "progressing_newGeneration": lambda: _alias(_bound(1), 1, generation=2),
    "progressing_rollout": lambda: _alias(
        _bound(1, 2), 2, _server(2, proven=1, message="1 of 3 pods serve it and are ready")
    ),
    "suspended_approvalMissing": lambda: _alias(
        _held("approvals", "needs 1 more approval for champion: has 0 of 1"), 2, _server(1, ready=True, proven=1)
    ),
    "suspended_versionMissing": lambda: _alias(
        binding.hold(ModelAliasStatus(), [Requirement("", "version", False, "there is no digits.v1")]), 1
    ),
    "healthy_bound": lambda: _alias(_bound(1, 2), 2),
    "healthy_served": lambda: _alias(_bound(1, 2), 2, _server(2, ready=True, proven=2)),
    "suspended_rolledBack": lambda: _alias(
        _back(names.ROLLED_BACK, "rolled back from v2 to v1 by walter: latency"), 2, _server(1, ready=True, proven=1)
    ),
    "degraded_rolloutFailed": lambda: _alias(
        _back(names.ROLLOUT_FAILED, f"v2 failed in Deployment digits-server: {_CRASHED}; back to v1"),
        2,
        _server(1, ready=True, proven=1),
    ),
    "degraded_cannotServe": lambda: _alias(_bound(1), 1, _server(1, failed=True, message=_CRASHED)),
}


# PromotionPolicy


def _policy(expression: str, generation: int = 1) -> Raw:
    """Return a policy with one gate, and the status that the operator gives it."""
    gates = [{"name": "not-worse", "expression": expression}]
    body = _object(names.PROMOTION_POLICY, "release", {"match": {"aliases": ["champion"]}, "gates": gates})
    body["metadata"]["generation"] = 1
    status = report.status(body, PromotionPolicyStatus(), NOW)
    return {**body, "metadata": {**body["metadata"], "generation": generation}, "status": status.to_dict()}


_GATE = "current == null || candidate.metrics.val_accuracy.last >= current.metrics.val_accuracy.last"
POLICIES: dict[str, Scene] = {
    "progressing_new": lambda: _object(names.PROMOTION_POLICY, "release", {"match": {"aliases": ["champion"]}}),
    "progressing_newGeneration": lambda: _policy(_GATE, generation=2),
    "healthy_compiled": lambda: _policy(_GATE),
    "degraded_cannotBeRead": lambda: _policy("candidate.metrics.val_accuracy.last >"),
}


# Actions


def _asked(body: Raw, *, suspend: bool) -> Raw:
    return {**body, "spec": {**body["spec"], "suspend": suspend}}


def _ended_run(phase: str) -> Raw:
    """Return a Run with everything that a rerun pins, or leaves behind."""
    body = RUNS[phase]()
    labels = {names.LABEL_EXPERIMENT: "sweep", "app.kubernetes.io/instance": "ml", "team": "vision"}
    annotations = {"argocd.argoproj.io/tracking-id": "ml", "assay.dev/x": "ours", "example.com/why": "the first try"}
    body["metadata"] |= {"uid": "0b5c5a2e", "labels": labels, "annotations": annotations}
    body["spec"]["datasets"] = [{"name": "digits", "uri": "s3://datasets/digits/"}]
    body["status"]["datasets"] = [{"name": "digits", "digest": DIGEST, "bytes": 7, "files": 1}]
    body["status"]["images"] = [
        {"container": "train", "image": "train:1", "digest": f"registry.example.com/t@{DIGEST}"}
    ]
    return body


def _rerun(body: Raw) -> list[Raw]:
    """Return what the recipe says, but for what is empty: that is no longer so when it has been through Lua."""
    return [{"k8sOperation": "create", "unstructuredObj": without_empty(recipe.rerun_body(body))}]


def without_empty(value: Any) -> Any:
    """Return an object without what is empty; an empty volume is one of the default medium."""
    if isinstance(value, dict):
        less = {key: {"medium": ""} if (key, each) == ("emptyDir", {}) else each for key, each in value.items()}
        return {key: without_empty(each) for key, each in less.items() if each not in ({}, [])}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


def _rollback() -> Raw:
    body = ALIASES["healthy_served"]()
    said = "1 system:serviceaccount:argocd:argocd-server\ngeneration: 2\nasked for in Argo CD"
    body["metadata"]["annotations"] = body["metadata"]["annotations"] | {names.ANNOTATION_ROLLBACK: said}
    return body


#: The input and, after "<input>_", the output of each action.
ACTIONS: dict[str, dict[str, Callable[[], Any]]] = {
    names.EXPERIMENT: {
        "running": lambda: _experiment("Succeeded", "Running"),
        "running_suspend": lambda: _asked(_experiment("Succeeded", "Running"), suspend=True),
        "suspended": lambda: _experiment("Succeeded", "Suspended", suspend=True),
        "suspended_resume": lambda: _asked(_experiment("Succeeded", "Suspended", suspend=True), suspend=False),
        "ended": lambda: _experiment(*_FOUR, over=True, told={"registered": ("digits.v1", "sweep-3")}),
    },
    names.RUN: {
        "running": RUNS["progressing_training"],
        "succeeded": lambda: _ended_run("healthy_succeeded"),
        "succeeded_rerun": lambda: _rerun(_ended_run("healthy_succeeded")),
        "failed": lambda: _ended_run("degraded_outOfMemory"),
        "failed_rerun": lambda: _rerun(_ended_run("degraded_outOfMemory")),
    },
    names.MODEL_ALIAS: {
        "first": lambda: _alias(_bound(1), 1),
        "moved": ALIASES["healthy_served"],
        "moved_rollback": _rollback,
        "rolledBack": ALIASES["suspended_rolledBack"],
    },
}


SCENES: dict[str, dict[str, Scene]] = {
    names.EXPERIMENT: EXPERIMENTS,
    names.RUN: RUNS,
    names.MODEL_VERSION: VERSIONS,
    names.MODEL_ALIAS: ALIASES,
    names.PROMOTION_POLICY: POLICIES,
}


def files() -> dict[str, str]:
    """Return the text of every file of testdata, by its path below the folder of all kinds."""
    found: dict[str, Any] = {}
    for part, kinds in (("testdata", SCENES), ("actions/testdata", ACTIONS)):
        for kind, scenes in kinds.items():
            found |= {f"{kind}/{part}/{name}.yaml": scene() for name, scene in scenes.items()}
    return {path: yaml.safe_dump(body, sort_keys=False, width=110, allow_unicode=True) for path, body in found.items()}
