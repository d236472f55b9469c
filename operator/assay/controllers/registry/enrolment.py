"""``Experiment.spec.register``: the best run, or every run that qualifies, becomes a version of a model."""

from assay.api import names
from assay.api.experiment import ExperimentSpec, ExperimentStatus, Register
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.controllers.audit import events as audit_events
from assay.controllers.registry import registering
from assay.controllers.runtime.context import Context, now
from assay.controllers.runtime.tracking_cache import experiment_uid
from assay.kube.errors import ApiError
from assay.planning.conditions import Status
from assay.planning.models import registration


async def each_run(context: Context, run: Raw) -> None:
    """Register a run that has just ended, if its experiment wants every run that qualifies."""
    experiment = context.tracking.experiments_by_uid.get(experiment_uid(run))
    register = _register_of(experiment)
    if register is None or register.pick != "every" or not registration.qualifies(register, run)[0]:
        return
    try:
        await registering.register_run(context, run, register.model)
    except ApiError as error:
        if not error.permanent:
            raise
        await _refused(context, run, error)


async def of_experiment(
    context: Context, body: Raw, spec: ExperimentSpec, status: ExperimentStatus
) -> ExperimentStatus:
    """Register the best run once all have ended; return the status with what has become of the registration."""
    register = spec.register_
    if register is None:
        return status
    version, found = await _outcome(context, body, spec, register, status)
    generation = body["metadata"]["generation"]
    return registration.told(status, found, version, generation=generation, now=now())


def _register_of(experiment: Raw | None) -> Register | None:
    wanted = experiment["spec"].get("register") if experiment else None
    return Register.model_validate(wanted) if wanted else None


async def _outcome(
    context: Context, body: Raw, spec: ExperimentSpec, register: Register, status: ExperimentStatus
) -> tuple[str, tuple[Status, str, str]]:
    over = status.completion_time is not None
    known = _newest(context, body, register)
    if known is not None or registration.problem(register) or not over:
        return _as_is(register, known, over=over)
    said = next((each for each in status.conditions if each.type == names.REGISTERED), None)
    if (
        said is not None
        and said.reason != names.NOT_YET
        and (status.registered or said.reason == names.NO_RUN_QUALIFIES)
    ):
        # What was registered once is not registered again when somebody deletes it, and runs that ended do not change.
        return "", (said.status, said.reason, said.message)
    runs = await _runs(context, body)
    best = registration.pick_best(register, spec.objective, runs) if register.pick == "best" else None
    if best is None:
        none = registration.why_none(register, spec.objective, runs)
        return "", registration.condition(register, over=True, none=none)
    try:
        version = await registering.register_run(context, best, register.model)
    except ApiError as error:
        if not error.permanent:
            raise
        await _refused(context, best, error)
        return "", registration.condition(register, over=True, refused=(best["metadata"]["name"], error.message))
    return _as_is(register, version, over=True)


def _as_is(register: Register, version: Raw | None, *, over: bool) -> tuple[str, tuple[Status, str, str]]:
    if version is None:
        return "", registration.condition(register, over=over)
    name, run = version["metadata"]["name"], version["spec"]["run"]["name"]
    return name, registration.condition(register, over=over, registered=(name, run))


def _newest(context: Context, body: Raw, register: Register) -> Raw | None:
    """Return the newest version that was made from a run of this experiment."""
    metadata = body["metadata"]
    found = [
        version
        for version in context.models.versions_of(metadata["namespace"], register.model)
        if (version["spec"].get("run") or {}).get("experiment") == metadata["name"]
        and version["metadata"]["creationTimestamp"] >= metadata["creationTimestamp"]
    ]
    return max(found, key=lambda version: int(version["spec"]["version"]), default=None)


async def _runs(context: Context, body: Raw) -> list[Raw]:
    """Return the runs of an experiment as the API server has them."""
    metadata = body["metadata"]
    selector = f"{names.LABEL_EXPERIMENT}={metadata['name']}"
    return [
        {**run, "kind": names.RUN, "apiVersion": names.API_VERSION}
        async for run in context.kube.list(RUNS, metadata["namespace"], selector)
        if experiment_uid(run) == metadata["uid"]
    ]


async def _refused(context: Context, run: Raw, error: ApiError) -> None:
    """Say and record that the API server does not let a run become a version."""
    await context.audit.record(audit_events.registration_refused(run, error.message, kind=names.RUN))
    context.events.post(run, names.REGISTRATION_REFUSED, error.message, warning=True)
