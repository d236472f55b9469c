"""Experiment controller: launch the planned runs and keep the status up to date."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from assay.api import names
from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, RUNS
from assay.controllers import metrics
from assay.controllers.registry import enrolment
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import ExperimentParts
from assay.controllers.runtime.queue import Key, Requeue
from assay.controllers.tracking import adopting
from assay.kube.errors import ApiError
from assay.planning.conditions import counted
from assay.planning.search import adoption, sweep
from assay.planning.search.belonging import belongs, run_body


async def reconcile(context: ExperimentParts, key: Key) -> None:
    """Reconcile one Experiment."""
    body = context.tracking.experiments.get((key.namespace, key.name))
    if body is None or body["metadata"].get("deletionTimestamp"):
        return
    spec = ExperimentSpec.model_validate(body["spec"])
    old = ExperimentStatus.model_validate(body.get("status") or {})
    if adoption.due(spec, old):
        await _adopt(context, body, spec, old, key)
        return
    plan = _plan(context, body, spec, old)
    while plan.launch:
        try:
            await _gather(_launch(context, body, spec, index) for index in plan.launch)
        except ApiError as error:
            # The launch is retried. Until it succeeds, the status shows why nothing happens.
            message = f"a run was refused: {error.message}"[:4000]
            await _write(
                context, body, old, plan.status.model_copy(update={"message": message, "launched": old.launched})
            )
            raise
        before, plan = plan.launch, _plan(context, body, spec, old)
        if plan.launch and plan.launch[0] <= before[0]:
            raise Requeue(1.0, "a run with this name is still being deleted")
    await _write(context, body, old, await enrolment.of_experiment(context, body, spec, plan.status))


async def _write(context: ExperimentParts, body: Raw, old: ExperimentStatus, new: ExperimentStatus) -> None:
    written = await statuses.write(context.kube, EXPERIMENTS, body, new.to_dict(), context.tracking.upsert_experiment)
    if written is not None:
        context.tracking.upsert_experiment(written)
        _tell(context, body, old, new)


async def _adopt(context: ExperimentParts, body: Raw, spec: ExperimentSpec, old: ExperimentStatus, key: Key) -> None:
    """Note in the status which runs are records of an earlier Experiment, before any run is launched."""
    records = await adopting.records(context, body, spec, adoption.size(spec))
    new = adoption.adopted(spec, old, [adoption.facts(record, index) for index, record in enumerate(records)])
    written = await statuses.write(context.kube, EXPERIMENTS, body, new.to_dict(), context.tracking.upsert_experiment)
    if written is not None:
        context.tracking.upsert_experiment(written)
        if new.adopted:
            context.events.post(body, "RecordsAdopted", adoption.message(new, body))
    context.queue.add(key)


def _plan(context: ExperimentParts, body: Raw, spec: ExperimentSpec, old: ExperimentStatus) -> sweep.Plan:
    # Leave out the runs that are being removed: the status already counts them as archived.
    runs = context.tracking.runs_of(body["metadata"]["uid"], old.archived.removing if old.archived else ())
    return sweep.plan(spec, old, runs, generation=body["metadata"]["generation"], now=now())


async def _launch(context: ExperimentParts, body: Raw, spec: ExperimentSpec, index: int) -> None:
    """Create one Run. Adopt an existing Run of that name if it belongs to this experiment."""
    wanted = run_body(body, spec, index)
    namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
    try:
        run = await context.kube.create(RUNS, namespace, wanted)
    except ApiError as error:
        if error.refused:
            context.events.post(body, names.LAUNCH_REFUSED, f"run {name} was refused: {error.message}", warning=True)
        raise
    if run is not None:
        context.tracking.made(run, body)
        metrics.RUNS_CREATED.inc()
    else:
        run = await context.kube.get(RUNS, namespace, name)
        if run is None:
            raise Requeue(0.5, f"run {name} was deleted")
        if not belongs(run, body):
            why = f"a Run named {name} exists and does not belong to this experiment: delete it, or rename one of them"
            context.events.post(body, names.NAME_TAKEN, why, warning=True)
            raise Requeue(5.0, why)
    context.tracking.upsert_run(run)
    context.queue.add(Key(names.RUN, namespace, name))


def _tell(context: ExperimentParts, body: Raw, old: ExperimentStatus, new: ExperimentStatus) -> None:
    """Post events for the changes that matter to a reader of ``kubectl describe``."""
    if old.start_time is None and new.start_time is not None and new.runs:
        context.events.post(body, "Started", f"the search has {counted(new.runs.total, 'run')}")
    if new.best and (old.best is None or old.best.run != new.best.run):
        shown = ", ".join(f"{name}={value}" for name, value in new.best.parameters.items())
        context.events.post(body, "NewBest", f"{new.best.run}: {new.best.display} with {shown or 'no parameters'}")
    if new.phase != old.phase and new.phase in ("Succeeded", "Failed", "Suspended"):
        context.events.post(body, new.phase, new.message or new.progress or "", warning=new.phase == "Failed")


async def _gather(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it, and then raise the first failure: one bad object must not stop its siblings."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
