"""Retention: remove expired data of ended runs. Every minute the retainer walks over the ended runs in the cache.

Level-triggered and safe to interrupt: every removal is recorded in the store or in a status before it happens, and the
next walk continues it. The cache determines what may be due; before a removal, the API server is asked whether a
ModelVersion needs the data.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from assay.api import names
from assay.api.experiment import ArchivedRuns
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, JOBS, MODEL_VERSIONS, RUNS
from assay.api.run import Objective
from assay.api.run_status import RunStatus
from assay.controllers import metrics
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import RetentionParts
from assay.controllers.runtime.queue import Requeue
from assay.controllers.tracking import records
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.planning.runs import retention
from assay.planning.runs.facts import RunFacts, run_facts
from assay.planning.runs.retention import NO_CLAIMS, Claims, EndedRun
from assay.store import archive, clock, expiry, layout
from assay.store.client import ObjectStore
from assay.store.errors import RecordError, StoreError
from assay.store.expiry import Waiting
from assay.store.verify import verify_run

log = logging.getLogger(__name__)

#: Maximum number of runs archived in one walk, in total and per experiment; the latter fits into its status.
_RUNS, _RUNS_OF_ONE = 500, 100
#: Maximum number of runs whose artifacts are deleted in one walk.
_BATCH = 50
#: Number of runs after which the walk yields to other tasks.
_STEP = 500


class Versions(NamedTuple):
    """The claims of ModelVersions on runs: of all versions, and of versions whose bytes are not copied yet."""

    named: Claims = NO_CLAIMS
    awaited: Claims = NO_CLAIMS


class Expiry(NamedTuple):
    """Artifacts to delete: of an existing run (``run``), or of an archived one (``note`` is the key of its note)."""

    namespace: str
    uid: str
    prefix: str
    uri: str
    reason: str
    run: EndedRun | None = None
    note: str = ""


class Retainer:
    """Walks over ended runs and removes expired data. One per operator."""

    def __init__(self, context: RetentionParts) -> None:
        self._context = context
        #: UIDs of runs that a version names and that have no unfinished deletion.
        self._examined: set[str] = set()
        #: UIDs of runs with an unreadable record. This is logged once, and none of their data is removed.
        self._unable: set[str] = set()

    async def keep(self) -> None:
        """Walk periodically, for ever."""
        while True:
            await asyncio.sleep(self._context.settings.retention_seconds)
            try:
                await self.walk()
            except (ApiError, StoreError, Requeue) as error:
                log.warning("retention failed, retrying in the next walk: %s", error)
            except Exception:  # an unexpected error must not stop retention
                log.exception("retention failed, retrying in the next walk")

    async def walk(self) -> None:
        """Remove data that is due, up to the limits of one walk."""
        artifacts: list[EndedRun] = []
        archived: defaultdict[str, list[EndedRun]] = defaultdict(list)
        cached = _versions(self._context.models.versions.values())
        tracking = self._context.tracking
        self._examined &= tracking.ended_runs.keys()
        for number, run in enumerate(list(tracking.ended_runs.values()), 1):
            if number % _STEP == 0:
                await asyncio.sleep(0)
            experiment = tracking.experiments_by_uid.get(run.experiment)
            if run.uid in self._unable or (experiment and experiment["metadata"].get("deletionTimestamp")):
                continue
            due = retention.due(run, experiment, NO_CLAIMS, cached.awaited, now())
            if due.jobs:
                await self._shorten(run, experiment)
            if due.artifacts and not (cached.named.of(run) and run.uid in self._examined):
                artifacts.append(run)
            if due.archive:
                archived[run.experiment if experiment else ""].append(run)
        await self._expire([self._expiry(run) for run in artifacts[:_BATCH]])
        await self._archive(archived)
        await self._expire(await self._noted())

    async def _shorten(self, run: EndedRun, experiment: Raw | None) -> None:
        """Set the Job's ttlSecondsAfterFinished if it is missing or longer than the retention."""
        lifetime = retention.keep_of(run, experiment).jobs
        job = self._context.tracking.job({"metadata": {"namespace": run.namespace, "uid": run.uid}})
        if lifetime is None or job is None or (job.ttl is not None and job.ttl <= retention.seconds(lifetime)):
            return
        patch = {"metadata": {"uid": job.uid}, "spec": {"ttlSecondsAfterFinished": retention.seconds(lifetime)}}
        written = await self._context.kube.merge_patch(JOBS, run.namespace, job.name, patch)
        if written is not None:
            self._context.tracking.upsert_job(written)

    async def _fresh_versions(self) -> Versions:
        """Return the claims of all ModelVersions that exist now, read from the API server."""
        context, found = self._context, []
        for namespace in context.settings.namespaces or ("",):
            found += [version async for version in context.kube.list(MODEL_VERSIONS, namespace)]
        return _versions(found)

    # Artifacts

    def _expiry(self, run: EndedRun) -> Expiry:
        experiment = self._context.tracking.experiments_by_uid.get(run.experiment)
        return Expiry(run.namespace, run.uid, self._prefix(run), run.uri, _why(run, experiment), run)

    def _prefix(self, run: EndedRun) -> str:
        return run.uri.removeprefix(f"s3://{self._context.settings.store.bucket}/").rstrip("/")

    async def _noted(self) -> list[Expiry]:
        """Return the archived runs whose artifacts are due, from the notes in the store."""
        store = self._context.store
        found: list[Expiry] = []
        for namespace in self._context.settings.namespaces or await store.run(_folders, store.blocking):
            some = await store.run(expiry.waiting, store.blocking, namespace, clock.now(), _BATCH)
            found += [self._of_note(namespace, each) for each in some]
        return [each for each in found if each.uid not in self._unable][:_BATCH]

    def _of_note(self, namespace: str, found: Waiting) -> Expiry:
        uri = f"s3://{self._context.settings.store.bucket}/{found.prefix}/"
        uid = layout.parse_run_prefix(found.prefix).uid
        return Expiry(namespace, uid, found.prefix, uri, found.reason, None, found.key)

    async def _expire(self, due: list[Expiry]) -> None:
        """Delete artifacts: record the intent, check again whether a version needs them, and then delete them."""
        if not due:
            return
        versions = await self._fresh_versions()
        begun = [each for each in due if await self._begin(each, versions)]
        if not begun:
            return
        versions = await self._fresh_versions()
        for each in begun:
            if versions.named.names(each.namespace, each.uid, each.uri):
                await self._spare(each, versions)
            else:
                await self._delete(each)

    async def _begin(self, due: Expiry, versions: Versions) -> bool:
        if versions.named.names(due.namespace, due.uid, due.uri):
            await self._spare(due, versions)
            return False
        store = self._context.store
        try:
            await store.run(expiry.begin, store.blocking, due.prefix, due.reason)
        except (RecordError, ValueError) as error:
            self._give_up(due.uid, f"the artifacts of {due.prefix} are not deleted: {error}")
            return False
        self._examined.discard(due.uid)
        return True

    async def _spare(self, due: Expiry, versions: Versions) -> None:
        """Revoke the intent to delete the artifacts of a run that a version names."""
        store = self._context.store
        await store.run(expiry.take_back, store.blocking, due.prefix)
        self._examined.add(due.uid)
        if due.note and not versions.awaited.names(due.namespace, due.uid, due.uri):
            # A registered run keeps its artifacts.
            await store.run(store.blocking.delete, due.note)

    async def _delete(self, due: Expiry) -> None:
        store = self._context.store
        done = await store.run(expiry.finish, store.blocking, due.prefix)
        log.info("%s: %d artifacts deleted (%s)", due.prefix, len(done.files) + done.more, due.reason)
        metrics.ARTIFACTS_EXPIRED.inc()
        if due.run is not None:
            await self._mark_expired(due.run, done.finished)
        if due.note:
            await store.run(store.blocking.delete, due.note)

    async def _mark_expired(self, run: EndedRun, when: str) -> None:
        """Set ``record.expired`` in the status of a Run whose artifacts are deleted."""
        context = self._context
        body = await context.kube.get(RUNS, run.namespace, run.name)
        if body is None or body["metadata"]["uid"] != run.uid:
            return
        status = RunStatus.model_validate(body["status"])
        if status.record is not None:
            status.record.expired = parse_time(when)
        written = await statuses.write(context.kube, RUNS, body, status.to_dict(), context.tracking.upsert_run)
        if written is not None:
            context.tracking.upsert_run(written)

    # Objects

    async def _archive(self, due: dict[str, list[EndedRun]]) -> None:
        """Delete the Run objects; those of an experiment only after its status counts them."""
        tracking = self._context.tracking
        removing = {uid for uid, body in tracking.experiments_by_uid.items() if _archived(body).removing}
        if not due and not removing:
            return
        versions = await self._fresh_versions()
        own = due.pop("", [])[:_RUNS]
        for run in own:
            if await self._record(run, versions) is not None:
                await self._remove(run)
        places = _RUNS - len(own)
        for uid in sorted(removing | due.keys()):
            some = due.get(uid, [])[: min(_RUNS_OF_ONE, places)]
            places -= len(some)
            try:
                await self._of_experiment(uid, some, versions)
            except Requeue as requeue:
                log.debug("experiment %s: %s", uid, requeue)

    async def _of_experiment(self, uid: str, due: list[EndedRun], versions: Versions) -> None:
        tracking = self._context.tracking
        body = tracking.experiments_by_uid.get(uid)
        if body is None:
            return
        known = _archived(body)
        left = [each for each in known.removing if tracking.has_run(uid, each)]
        if left:
            # The status counts these already. Other runs follow in a later walk.
            await self._remove_all(left)
            return
        facts: dict[str, RunFacts] = {}
        for run in due:
            fresh = await self._record(run, versions)
            if fresh is not None:
                facts[run.uid] = run_facts(fresh)
        if (facts or known.removing) and await self._count(uid, known, facts) and facts:
            self._context.events.post(
                body, names.ARCHIVED, f"{len(facts)} runs were archived; their records remain in the store"
            )
            await self._remove_all(facts)

    async def _count(self, uid: str, known: ArchivedRuns, facts: dict[str, RunFacts]) -> bool:
        """Count runs that are about to be deleted in the experiment's status. False when it changed or is deleted."""
        context = self._context
        body = context.tracking.experiments_by_uid.get(uid)
        if body is None or _archived(body) != known:
            return False
        objective = body["spec"].get("objective")
        archived = retention.remember(Objective.model_validate(objective) if objective else None, known, facts)
        status = {**(body.get("status") or {}), "archived": archived.to_dict()}
        written = await statuses.write(context.kube, EXPERIMENTS, body, status, context.tracking.upsert_experiment)
        if written is None:
            return False
        context.tracking.upsert_experiment(written)
        return True

    async def _record(self, run: EndedRun, versions: Versions) -> Raw | None:
        """Complete the record, and return the current Run; None when the Run must not be removed."""
        context = self._context
        body = await context.kube.get(RUNS, run.namespace, run.name)
        if body is None or body["metadata"]["uid"] != run.uid or body["metadata"].get("deletionTimestamp"):
            return None
        if retention.ended_run(body) is None or versions.awaited.of(run):
            return None
        experiment = context.tracking.experiments_by_uid.get(run.experiment)
        expires = retention.expires(run, experiment, versions.named)
        try:
            await context.store.run(_write_record, context, body, expires, _why(run, experiment))
        except (RecordError, ValueError) as error:
            message = f"the Run is not archived, because its record is incomplete: {error}"
            self._give_up(run.uid, f"{run.namespace}/{run.name}: {message}")
            context.events.post(body, "NotArchived", message, warning=True)
            return None
        return body

    async def _remove_all(self, uids: Iterable[str]) -> None:
        for uid in uids:
            run = self._context.tracking.ended_runs.get(uid)
            if run is not None:
                await self._remove(run)

    async def _remove(self, run: EndedRun) -> None:
        """Delete the Run; the garbage collector deletes the Job and its other dependents."""
        await self._context.kube.delete(RUNS, run.namespace, run.name, run.uid)
        metrics.RUNS_ARCHIVED.inc()
        log.info("run archived", extra={"kind": names.RUN, "namespace": run.namespace, "object": run.name})

    def _give_up(self, uid: str, message: str) -> None:
        self._unable.add(uid)
        log.warning("%s", message)


def _versions(bodies: Iterable[Raw]) -> Versions:
    found = list(bodies)
    return Versions(retention.claims_of(found), retention.claims_of(filter(retention.unsettled, found)))


def _archived(experiment: Raw) -> ArchivedRuns:
    found = (experiment.get("status") or {}).get("archived")
    return ArchivedRuns.model_validate(found) if found else ArchivedRuns()


def _why(run: EndedRun, experiment: Raw | None) -> str:
    lifetime = retention.keep_of(run, experiment).artifacts
    return f"artifactsAfter: {retention.spelled(lifetime)}" if lifetime is not None else ""


# In the store


def _folders(store: ObjectStore) -> tuple[str, ...]:
    return tuple(store.folders(f"{layout.EXPIRING}/"))


def _write_record(context: RetentionParts, run: Raw, expires: datetime | None, reason: str) -> None:
    """Verify a run's record, and add the final Run object and the expiry note to the store."""
    store, status = context.store.blocking, RunStatus.model_validate(run["status"])
    if status.record is None:
        # The run was never launched, so it has no record yet.
        records.open_record(store, run)
        records.close_record(store, run, "Failed", status.reason or "", [], "", lambda _: status)
        prefix = layout.prefix_of(run)
    else:
        prefix = status.record.uri.removeprefix(f"s3://{context.settings.store.bucket}/").rstrip("/")
    verify_run(store, prefix)
    if expires is not None:
        expiry.note(store, prefix, f"{expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", reason)
    archive.write_archived(store, prefix, run)
