"""Plan an Experiment: which runs to launch now, and its status."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from assay.api import names
from assay.api.common import Condition
from assay.api.experiment import ArchivedBest, ArchivedRuns, BestRun, ExperimentSpec, ExperimentStatus, RunCounts
from assay.api.run import Objective
from assay.planning.conditions import Status, conditions, flag, format_duration, format_value
from assay.planning.defaults import omitted
from assay.planning.runs import template
from assay.planning.runs.facts import RunFacts
from assay.planning.search import space

#: Runs created in one reconcile; the next reconcile creates more.
MAX_LAUNCH = 500
_MAX_SHOWN = 5


@dataclass(frozen=True)
class Plan:
    """The next step of an experiment. ``launch``: indexes of runs to create; ``status``: the status afterwards."""

    launch: tuple[int, ...]
    status: ExperimentStatus


def better(objective: Objective, a: float, b: float) -> bool:
    """Return whether value ``a`` is strictly better than ``b``."""
    return a > b if objective.direction == "maximize" else a < b


def best_run(objective: Objective | None, runs: Collection[RunFacts]) -> RunFacts | None:
    """Return the best of the succeeded runs; the smallest index wins a tie."""
    if objective is None:
        return None
    best: RunFacts | None = None
    for run in sorted(runs, key=lambda run: (run.index, run.name)):
        if run.phase != "Succeeded" or run.value is None:
            continue
        if best is None or best.value is None or better(objective, run.value, best.value):
            best = run
    return best


def archived_best(archived: ArchivedRuns | None) -> list[RunFacts]:
    """Return the best archived run as RunFacts, for comparison with other runs; [] when there is none."""
    best = archived.best if archived else None
    return [RunFacts(best.index, best.run, "Succeeded", best.value)] if best else []


def plan(
    spec: ExperimentSpec,
    status: ExperimentStatus,
    runs: Collection[RunFacts],
    *,
    generation: int,
    now: datetime,
) -> Plan:
    """Return the next step of an experiment.

    ``runs`` are its existing Runs, except those that ``status.archived`` already counts. A run is created once: indexes
    below ``status.launched`` are never created again, even if somebody deleted the Run.
    """
    try:
        total = space.size(spec)
    except space.InvalidSearch as error:
        return _invalid(spec, status, names.INVALID_SEARCH, str(error), generation, now)
    if not status.launched and not runs:
        fault = template.first(spec.template.job, with_data=bool(spec.template.datasets))
        if fault:
            message = fault.replace("spec.job", "spec.template.job", 1)
            return _invalid(spec, status, names.INVALID_TEMPLATE, message, generation, now)
    status = _remembering(status, runs)
    counts = count(runs, total, status.archived)
    best = best_run(spec.objective, [*archived_best(status.archived), *runs])
    stop = _stop(spec, counts, best, runs)
    existing = {run.index for run in runs}
    launched = status.launched or 0
    while launched in existing:
        launched += 1
    launch = () if stop[0] or spec.suspend else _next(launched, total, existing, spec.parallelism, runs)
    new = _status(spec, status, runs, counts, best, stop, launched, bool(launch), generation, now)
    return Plan(launch, new)


def _invalid(
    spec: ExperimentSpec, status: ExperimentStatus, reason: str, message: str, generation: int, now: datetime
) -> Plan:
    """Return the plan for a spec that launches nothing."""
    flags = {
        names.COMPLETE: flag(False, reason, ""),
        names.FAILED: flag(True, reason, message),
        names.SUSPENDED: flag(spec.suspend, names.SUSPENDED_BY_SPEC if spec.suspend else names.NOT_SUSPENDED, ""),
    }
    invalid = {
        "phase": "Failed",
        "message": message,
        "conditions": _conditions(status, flags, generation, now),
        "observed_generation": generation,
        "omitted": omitted(spec) or None,
    }
    return Plan((), status.model_copy(update=invalid))


def count(runs: Collection[RunFacts], total: int, archived: ArchivedRuns | None = None) -> RunCounts:
    """Return the number of runs in each phase, the archived ones included."""
    phases, gone = [run.phase for run in runs], archived or ArchivedRuns()
    return RunCounts(
        total=total,
        pending=phases.count("Pending"),
        running=phases.count("Running"),
        suspended=phases.count("Suspended"),
        succeeded=phases.count("Succeeded") + gone.succeeded,
        failed=phases.count("Failed") + gone.failed,
    )


def _remembering(status: ExperimentStatus, runs: Collection[RunFacts]) -> ExperimentStatus:
    """Return the status that counts ended runs whose objects were deleted as archived: what they were stays true."""
    before, known = status.runs, status.archived or ArchivedRuns()
    if before is None:
        return status
    present = count(runs, 0, known)
    succeeded = max(0, before.succeeded - present.succeeded)
    failed = max(0, before.failed - present.failed)
    if not succeeded and not failed:
        return status
    best, kept = status.best, known.best
    if succeeded and best and best.run not in {run.name for run in runs}:
        index = best.run.rpartition("-")[2]
        kept = ArchivedBest(run=best.run, index=int(index) if index.isdecimal() else -1, value=best.value)
    counted = {"succeeded": known.succeeded + succeeded, "failed": known.failed + failed, "best": kept}
    return status.model_copy(update={"archived": known.model_copy(update=counted)})


def _next(
    launched: int, total: int, existing: Collection[int], parallelism: int, runs: Collection[RunFacts]
) -> tuple[int, ...]:
    places = parallelism - sum(run.active for run in runs)
    chosen: list[int] = []
    index = launched
    while index < total and len(chosen) < min(places, MAX_LAUNCH):
        if index not in existing:
            chosen.append(index)
        index += 1
    return tuple(chosen)


def _stop(
    spec: ExperimentSpec, counts: RunCounts, best: RunFacts | None, runs: Collection[RunFacts]
) -> tuple[str, str]:
    """Return (reason, message) when no further runs may be launched; ("", "") otherwise."""
    unlaunched = next((run for run in runs if run.reason == names.INVALID_TEMPLATE), None)
    if unlaunched:
        return names.INVALID_TEMPLATE, f"{unlaunched.name} cannot start, and every run has the same template"
    if spec.max_failed_runs is not None and counts.failed > spec.max_failed_runs:
        return (
            names.TOO_MANY_FAILED_RUNS,
            f"{counts.failed} runs failed; maxFailedRuns is {spec.max_failed_runs}",
        )
    objective = spec.objective
    target = objective.target if objective else None
    if objective and target is not None and best and best.value is not None:  # noqa: SIM102 — two questions
        if not better(objective, target, best.value):
            return (
                names.TARGET_REACHED,
                f"{best.name} reached {objective.metric} {format_value(best.value)}; "
                f"the target is {format_value(target)}",
            )
    return "", ""


def _status(
    spec: ExperimentSpec,
    old: ExperimentStatus,
    runs: Collection[RunFacts],
    counts: RunCounts,
    best: RunFacts | None,
    stop: tuple[str, str],
    launched: int,
    launching: bool,
    generation: int,
    now: datetime,
) -> ExperimentStatus:
    active = counts.pending + counts.running + counts.suspended
    exhausted = launched >= counts.total and not launching
    reason, message = stop
    over = not active and (exhausted or bool(reason))
    failed = reason in (names.TOO_MANY_FAILED_RUNS, names.INVALID_TEMPLATE)
    finished = counts.succeeded + counts.failed
    if over and not reason:
        reason, message = names.ALL_RUNS_FINISHED, f"{counts.succeeded} of {finished} runs succeeded"
        failed = finished > 0 and counts.succeeded == 0
    elif not reason and not spec.suspend:
        message = _stuck(runs)
    started = old.start_time or (now if launching or runs else None)
    completed = (old.completion_time or now) if over else None
    phase = "Pending"
    if over:
        phase = "Failed" if failed else "Succeeded"
    elif spec.suspend:
        phase = "Suspended"
    elif counts.running or finished or active or launching:
        phase = "Running"
    flags: dict[str, tuple[Status, str, str]] = {
        names.COMPLETE: flag(over and not failed, reason or names.RUNS_ACTIVE, message if over or reason else ""),
        names.FAILED: flag(failed, reason or names.RUNS_ACTIVE, message if failed else ""),
        names.SUSPENDED: _suspended(spec, runs),
    }
    if spec.objective and (recorded := _objective_recorded(spec.objective, objective_counts(runs, old.archived))):
        flags[names.OBJECTIVE_RECORDED] = recorded
    return old.model_copy(
        update={
            "observed_generation": generation,
            "phase": phase,
            "message": message or None,
            "runs": counts,
            "launched": launched,
            "progress": f"{finished}/{counts.total}",
            "best": _best(spec, best),
            "start_time": started,
            "completion_time": completed,
            "duration": format_duration(started, completed),
            "omitted": omitted(spec) or None,
            "conditions": _conditions(old, flags, generation, now),
        }
    )


def _stuck(runs: Collection[RunFacts]) -> str:
    """Return why none of the active runs can start; "" if one trains or is starting.

    The message has no numbers: the pods of many runs change their reasons all the time.
    """
    active = sorted((run for run in runs if run.active), key=lambda run: (run.index, run.name))
    if not active or any(run.phase != "Pending" or run.reason in {"", *names.NORMAL_WAITS} for run in active):
        return ""
    return f"no run can start: {active[0].reason}: see run {active[0].name}"


def _suspended(spec: ExperimentSpec, runs: Collection[RunFacts]) -> tuple[Status, str, str]:
    if not spec.suspend:
        return flag(False, names.NOT_SUSPENDED, "")
    resumed = sorted(run.name for run in runs if run.phase == "Suspended" and run.reason == names.JOB_RESUMED)
    if not resumed:
        return flag(True, names.SUSPENDED_BY_SPEC, "")
    shown = ", ".join(resumed[:_MAX_SHOWN]) + (f" and {len(resumed) - _MAX_SHOWN} more" if resumed[_MAX_SHOWN:] else "")
    message = (
        f"Jobs were resumed outside of Assay, and were suspended again: {shown}: resume the experiment, or stop what "
        "resumes the Jobs"
    )
    return flag(True, names.JOB_RESUMED, message)


@dataclass(frozen=True)
class ObjectiveCounts:
    """How many ended runs have a value of the objective and how many have none, and why one of those has none."""

    found: int
    missing: int
    problem: str


def objective_counts(runs: Collection[RunFacts], archived: ArchivedRuns | None) -> ObjectiveCounts:
    """Return the counts, the archived runs included."""
    gone = archived or ArchivedRuns()
    problems = [run.objective_problem for run in runs if not run.active and run.objective_problem]
    found = sum(not run.active and run.value is not None and not run.objective_problem for run in runs)
    example = min([*problems, *([gone.objective_problem] if gone.objective_problem else [])], default="")
    return ObjectiveCounts(found + gone.with_objective, len(problems) + gone.without_objective, example)


def _objective_recorded(objective: Objective, counts: ObjectiveCounts) -> tuple[Status, str, str] | None:
    """Return the condition ObjectiveRecorded; None before the first run has ended."""
    ended = counts.found + counts.missing
    if not ended:
        return None
    if not counts.missing:
        return flag(True, names.OBJECTIVE_FOUND, "")
    message = f"{counts.missing} of {ended} runs recorded no value of {objective.metric}: {counts.problem}"
    return flag(False, names.OBJECTIVE_MISSING, message)


def _conditions(
    old: ExperimentStatus, flags: Mapping[str, tuple[Status, str, str]], generation: int, now: datetime
) -> list[Condition]:
    """Return the search's conditions, plus the unchanged Registered condition, which ``registration`` writes."""
    others = [each for each in old.conditions if each.type == names.REGISTERED]
    return [*conditions(old.conditions, flags, generation, now), *others]


def _best(spec: ExperimentSpec, best: RunFacts | None) -> BestRun | None:
    if best is None or best.value is None:
        return None
    try:
        parameters = space.parameters_of(spec, best.index)
    except IndexError:
        parameters = {}
    return BestRun(run=best.name, value=best.value, display=format_value(best.value), parameters=parameters)
