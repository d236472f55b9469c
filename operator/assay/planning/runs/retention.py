"""Retention: which parts of an ended run are due for removal, and what ModelVersions still need of it.

Pure. It determines what may be removed at a given time. Before the removal, the caller checks again with the current
versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from assay.api import names
from assay.api.experiment import ArchivedBest, ArchivedRuns
from assay.api.objects import Raw
from assay.api.run import Objective
from assay.api.run_status import TERMINAL
from assay.planning.conditions import parse_time
from assay.planning.promotion.policies import parse_duration
from assay.planning.runs.facts import RunFacts, run_facts
from assay.planning.search import sweep

#: The maximum that Kubernetes accepts as a time to live.
_MOST_SECONDS = 2**31 - 1


class Keep(NamedTuple):
    """How long each part is kept after the end of a run; None: forever."""

    jobs: timedelta | None = None
    archive: timedelta | None = None
    artifacts: timedelta | None = None


FOR_EVER = Keep()


class Due(NamedTuple):
    """Which parts of a run are due for removal."""

    jobs: bool = False
    artifacts: bool = False
    archive: bool = False


NOTHING = Due()


@dataclass(frozen=True, slots=True)
class EndedRun:
    """An ended Run without credentials: the facts that its retention depends on.

    ``uri`` is its prefix in the store with a trailing slash; "" if nothing was recorded. ``experiment`` is the UID of
    the Experiment that controls it; "" if none does.
    """

    namespace: str
    name: str
    uid: str
    experiment: str
    index: int
    completed: datetime
    own: Keep
    uri: str
    expired: bool


def ended_run(run: Raw, experiment: str = "") -> EndedRun | None:
    """Return the retention facts of an ended Run; None if it has not ended or still has credentials.

    ``experiment`` is the UID of the Experiment that it was created for.
    """
    metadata, status = run["metadata"], run.get("status") or {}
    completed = parse_time(status.get("completionTime"))
    if status.get("phase") not in TERMINAL or status.get("credentials") or completed is None:
        return None
    record = status.get("record") or {}
    return EndedRun(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        experiment=experiment,
        index=run_facts(run).index,
        completed=completed,
        own=_keep(run["spec"].get("retention")),
        uri=record.get("uri") or "",
        expired=bool(record.get("expired")),
    )


# Durations


def keep_of(run: EndedRun | Raw, experiment: Raw | None) -> Keep:
    """Return how long the parts of a run are kept: from its current Experiment, else from the run itself."""
    if experiment is not None:
        return _keep(experiment["spec"].get("retention"))
    return run.own if isinstance(run, EndedRun) else _keep(run["spec"].get("retention"))


def _keep(retention: Raw | None) -> Keep:
    if not retention:
        return FOR_EVER
    return _parsed(retention.get("jobs"), retention.get("archiveAfter"), retention.get("artifactsAfter"))


@lru_cache(maxsize=1024)
def _parsed(*texts: str | None) -> Keep:
    return Keep(*(parse_duration(text) if text else None for text in texts))


def seconds(kept: timedelta) -> int:
    """Return a duration in seconds as a Job's time to live, capped at the maximum."""
    return min(int(kept.total_seconds()), _MOST_SECONDS)


def spelled(kept: timedelta) -> str:
    """Return a duration in readable form, such as 1d12h; the inverse of ``parse_duration``."""
    left, parts = seconds(kept), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


# Claims


@dataclass(frozen=True)
class Claims:
    """The runs that ModelVersions reference: by their UID, or by a URI at, below or above their prefix."""

    #: (namespace, UID of a run)
    runs: frozenset[tuple[str, str]] = frozenset()
    #: URIs, each with a trailing slash.
    uris: tuple[str, ...] = ()
    #: Prefixes of runs that URIs point into, each with a trailing slash.
    prefixes: frozenset[str] = field(default_factory=frozenset)

    def names(self, namespace: str, uid: str, uri: str) -> bool:
        """Whether a version references the run or its files; ``uri`` is its prefix with a trailing slash, or ""."""
        if (namespace, uid) in self.runs:
            return True
        return bool(uri) and (uri in self.prefixes or any(uri.startswith(above) for above in self.uris))

    def of(self, run: EndedRun) -> bool:
        """Whether a version references the run or its files."""
        return self.names(run.namespace, run.uid, run.uri)


NO_CLAIMS = Claims()
#: s3://<bucket>/runs/<namespace>/<experiment>/<run>/<uid>/
_PARTS_OF_A_RUN = 8


def claims_of(versions: Iterable[Raw]) -> Claims:
    """Return what these ModelVersions need of the runs. Their phase does not matter: the caller selects them."""
    runs: set[tuple[str, str]] = set()
    uris: set[str] = set()
    prefixes: set[str] = set()
    for version in versions:
        spec = version["spec"]
        if run := spec.get("run"):
            runs.add((version["metadata"]["namespace"], run["uid"]))
        if uri := (spec.get("artifact") or {}).get("uri"):
            parts = uri.rstrip("/").split("/")
            inside = len(parts) >= _PARTS_OF_A_RUN
            (prefixes if inside else uris).add("/".join(parts[:_PARTS_OF_A_RUN]) + "/")
    return Claims(frozenset(runs), tuple(sorted(uris)), frozenset(prefixes))


def unsettled(version: Raw) -> bool:
    """Whether a version's files are neither registered nor refused yet."""
    status = version.get("status") or {}
    refused = _condition(status, names.ARTIFACT_VERIFIED).get("status") == "False"
    return not status.get("registered") and not refused


def _condition(status: Raw, kind: str) -> Raw:
    return next((each for each in status.get("conditions") or [] if each["type"] == kind), {})


def registering(experiment: Raw | None) -> bool:
    """Whether an Experiment may still register one of its runs, as far as known. Until then all of them are kept."""
    if experiment is None or not experiment["spec"].get("register"):
        return False
    status = experiment.get("status") or {}
    reason = _condition(status, names.REGISTERED).get("reason")
    return not status.get("registered") and reason not in (names.NO_RUN_QUALIFIES, names.INVALID_EXPRESSION)


# Due parts


def due(run: EndedRun, experiment: Raw | None, named: Claims, awaited: Claims, now: datetime) -> Due:
    """Return which parts of a run are due for removal.

    ``experiment`` is the one that controls it, if known. ``named`` contains the claims of all versions, ``awaited`` the
    claims of the versions that do not have their files yet.
    """
    keep = keep_of(run, experiment)
    if keep == FOR_EVER:
        return NOTHING
    age = now - run.completed
    held = registering(experiment)
    return Due(
        jobs=keep.jobs is not None and age >= keep.jobs,
        artifacts=not held
        and bool(run.uri)
        and not run.expired
        and keep.artifacts is not None
        and age >= keep.artifacts
        and not named.of(run),
        archive=not held
        and keep.archive is not None
        and age >= keep.archive
        and _counted(run, experiment)
        and not awaited.of(run),
    )


def _counted(run: EndedRun, experiment: Raw | None) -> bool:
    """Whether the run's experiment will never launch it again."""
    return experiment is None or run.index < ((experiment.get("status") or {}).get("launched") or 0)


def expires(run: EndedRun, experiment: Raw | None, named: Claims) -> datetime | None:
    """Return when the artifacts of a run that is archived now expire; None if never, e.g. if a version names it."""
    keep = keep_of(run, experiment)
    if keep.artifacts is None or run.expired or not run.uri or named.of(run):
        return None
    return run.completed + keep.artifacts


# Archived runs


def remember(objective: Objective | None, known: ArchivedRuns, runs: Mapping[str, RunFacts]) -> ArchivedRuns:
    """Return the experiment's summary of archived runs after adding ``runs``, given by their UIDs.

    Their objects may still exist: while ``removing`` contains them, only this summary counts them. The runs in
    ``known.removing`` must be gone.
    """
    best = sweep.best_run(objective, [*sweep.archived_best(known), *runs.values()])
    phases = [run.phase for run in runs.values()]
    shown = ArchivedBest(run=best.name, index=best.index, value=best.value) if best and best.value is not None else None
    objectives = sweep.objective_counts(runs.values() if objective else (), known)
    return ArchivedRuns(
        with_objective=objectives.found,
        without_objective=objectives.missing,
        objective_problem=objectives.problem or None,
        succeeded=known.succeeded + phases.count("Succeeded"),
        failed=known.failed + phases.count("Failed"),
        best=shown,
        removing=sorted(runs),
    )
