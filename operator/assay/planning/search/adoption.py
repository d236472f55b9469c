"""``Experiment.spec.adoptRecords``: which records of an earlier Experiment of the same name count as runs of this one.

Pure: it compares recorded Runs, which only the operator writes, with those that the experiment would create.
"""

from collections.abc import Sequence
from typing import Any

import pydantic

from assay.api.experiment import ArchivedBest, ArchivedRuns, ExperimentSpec, ExperimentStatus
from assay.api.objects import Raw
from assay.planning.runs.facts import RunFacts, run_facts
from assay.planning.search import belonging, space, sweep


def due(spec: ExperimentSpec, status: ExperimentStatus) -> bool:
    """Return whether records are to be adopted: before the first run is launched, and only once."""
    return spec.adopt_records and status.adopted is None and status.launched is None and status.archived is None


def size(spec: ExperimentSpec) -> int:
    """Return the number of runs to look for; 0 if the search is invalid."""
    try:
        return space.size(spec)
    except space.InvalidSearch:
        return 0


def choose(experiment: Raw, spec: ExperimentSpec, index: int, records: Sequence[Raw]) -> Raw | None:
    """Return the newest of the recorded runs that equals run number ``index`` of the experiment; None if none does.

    A run that did not finish has no closed record, so it is not among them.
    """
    equal = [each for each in records if _equals(each, experiment, spec, index)]
    return max(equal, key=lambda each: str((each.get("status") or {}).get("completionTime") or ""), default=None)


def _equals(record: Raw, experiment: Raw, spec: ExperimentSpec, index: int) -> bool:
    if (record.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
        return False
    try:
        return belonging.same_recipe(record["spec"], experiment, spec, index)
    except (pydantic.ValidationError, KeyError, ValueError):
        return False


def facts(record: Raw, index: int) -> RunFacts:
    """Return the facts of a recorded run. The record may be older than its labels, so the index is given."""
    found = run_facts(record)
    return RunFacts(index, found.name, found.phase, found.value)


def adopted(spec: ExperimentSpec, status: ExperimentStatus, runs: Sequence[RunFacts]) -> ExperimentStatus:
    """Return the status after adopting runs number 0, 1, …: they count like archived runs, and are not launched."""
    if not runs:
        return status.model_copy(update={"adopted": 0})
    phases = [run.phase for run in runs]
    changes: dict[str, Any] = {
        "adopted": len(runs),
        "launched": len(runs),
        "archived": ArchivedRuns(
            succeeded=phases.count("Succeeded"),
            failed=phases.count("Failed"),
            best=_best(sweep.best_run(spec.objective, runs)),
        ),
    }
    return status.model_copy(update=changes)


def _best(run: RunFacts | None) -> ArchivedBest | None:
    return ArchivedBest(run=run.name, index=run.index, value=run.value) if run and run.value is not None else None


def message(status: ExperimentStatus, experiment: Raw) -> str:
    """Return the text of the event."""
    name = experiment["metadata"]["name"]
    return (
        f"{status.adopted} runs are records of an earlier Experiment {name} with the same spec; they are not repeated"
    )
