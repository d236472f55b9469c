"""``Experiment.spec.register``: register the best run, or every run that qualifies, as a version of a model."""

from assay.api import names
from assay.api.experiment import ExperimentSpec, ExperimentStatus, Register
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.controllers.audit import events as audit_events
from assay.controllers.registry import registering
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import EnrolmentParts
from assay.controllers.runtime.queue import BackOff, Key
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import adopting
from assay.kube.errors import ApiError
from assay.planning.conditions import Status
from assay.planning.models import registration
from assay.planning.search.belonging import belongs

#: Seconds until a refused registration is tried again: as long as it has been waiting, between these limits.
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0


async def each_run(context: EnrolmentParts, run: Raw) -> None:
    """Register a run that has just ended, if its experiment registers every qualifying run and this run qualifies."""
    experiment = context.tracking.experiment_of(run)
    register = _register_of(experiment)
    if (
        experiment is None
        or register is None
        or register.pick != "every"
        or not registration.qualifies(register, run)[0]
    ):
        return
    try:
        await registering.register_run(context, run, register.model, lambda: _is_full(context, experiment, register))
    except registering.Full:
        context.events.post(run, names.REGISTRATION_LIMIT, registration.limit_reached(register), warning=True)
    except ApiError as error:
        if not error.refused:
            raise
        await _refused(context, run, error)
        if not error.permanent:
            raise BackOff(error.message) from error


async def of_experiment(
    context: EnrolmentParts, body: Raw, spec: ExperimentSpec, status: ExperimentStatus
) -> ExperimentStatus:
    """Register the best run once all runs have ended; return the status with the result.

    A refusal that may change, such as a missing right or a quota, is in the status, and the experiment is requeued.
    """
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
    context: EnrolmentParts, body: Raw, spec: ExperimentSpec, register: Register, status: ExperimentStatus
) -> tuple[str, tuple[Status, str, str]]:
    over = status.completion_time is not None
    known = _newest(context, body, register)
    if known is not None or registration.problem(register) or not over:
        full = _is_full(context, body, register)
        return _as_is(register, known, over=over, full=full)
    said = next((each for each in status.conditions if each.type == names.REGISTERED), None)
    if (
        said is not None
        and said.reason != names.NOT_YET
        and (status.registered or said.reason == names.NO_RUN_QUALIFIES)
    ):
        # The result is final: a deleted version is not registered again, and ended runs do not change.
        return "", (said.status, said.reason, said.message)
    runs = await _runs(context, body)
    if register.pick == "best" and status.adopted:
        runs += await adopting.records(context, body, spec, status.adopted)
    best = registration.pick_best(register, spec.objective, runs) if register.pick == "best" else None
    if best is None:
        none = registration.why_none(register, spec.objective, runs)
        return "", registration.condition(register, over=True, none=none)
    try:
        version = await registering.register_run(context, best, register.model)
    except ApiError as error:
        if not error.refused:
            raise
        await _refused(context, best, error)
        if not error.permanent:
            waited = (now() - (status.completion_time or now())).total_seconds()
            delay = min(_LAST_RETRY, max(_FIRST_RETRY, waited))
            context.queue.add(Key(names.EXPERIMENT, *place(body)), delay)
        return "", registration.condition(register, over=True, refused=(best["metadata"]["name"], error.message))
    return _as_is(register, version, over=True)


def _as_is(
    register: Register, version: Raw | None, *, over: bool, full: bool = False
) -> tuple[str, tuple[Status, str, str]]:
    if version is None:
        return "", registration.condition(register, over=over)
    name, run = version["metadata"]["name"], version["spec"]["run"]["name"]
    return name, registration.condition(register, over=over, registered=(name, run), full=full)


def _newest(context: EnrolmentParts, body: Raw, register: Register) -> Raw | None:
    """Return the newest version from a run of this experiment; None if there is none."""
    return max(_made(context, body, register), key=lambda version: int(version["spec"]["version"]), default=None)


def _is_full(context: EnrolmentParts, body: Raw, register: Register) -> bool:
    return register.pick == "every" and len(_made(context, body, register)) >= register.limit


def _made(context: EnrolmentParts, body: Raw, register: Register) -> list[Raw]:
    """Return the versions of the model that come from runs of this experiment.

    Anybody may create a version that names a run and an experiment. It counts once its provenance is verified. Until
    then it counts only if it has the experiment's owner: nobody can create a version in another user's name.
    """
    metadata = body["metadata"]
    return [
        version
        for version in context.models.versions_of(metadata["namespace"], register.model)
        if version["metadata"]["creationTimestamp"] >= metadata["creationTimestamp"]
        and _is_from(context, body, version)
    ]


def _is_from(context: EnrolmentParts, experiment: Raw, version: Raw) -> bool:
    run = version["spec"].get("run") or {}
    known = context.tracking.has_run(experiment["metadata"]["uid"], run.get("uid") or "")
    status = version.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    if conditions.get(names.PROVENANCE_VERIFIED) == "True":
        return known or run.get("experiment") == experiment["metadata"]["name"]
    pending = status.get("phase") in (None, "Pending")
    return known and pending and version["spec"].get("owner") == experiment["spec"].get("owner")


async def _runs(context: EnrolmentParts, body: Raw) -> list[Raw]:
    """Return the runs of an experiment from the API server."""
    metadata = body["metadata"]
    selector = f"{names.LABEL_EXPERIMENT}={metadata['name']}"
    return [
        {**run, "kind": names.RUN, "apiVersion": names.API_VERSION}
        async for run in context.kube.list(RUNS, metadata["namespace"], selector)
        if belongs(run, body)
    ]


async def _refused(context: EnrolmentParts, run: Raw, error: ApiError) -> None:
    """Record that the API server refused the version of a run, and post an event."""
    user = context.settings.user
    await context.audit.record(audit_events.registration_refused(run, error.message, operator=user, kind=names.RUN))
    context.events.post(run, names.REGISTRATION_REFUSED, error.message, warning=True)
