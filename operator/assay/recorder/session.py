"""One process of the recorder: watch and ship until SIGTERM, then finish within the grace period.

Four threads: the main one reads metrics and commits parts, one ships parts and summaries, one uploads artifacts, and
one captures the environment. The manifest is written last, only by the main thread, only after SIGTERM, and only when
everything else is in the store.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.recorder import records
from assay.recorder.artifacts import Artifacts
from assay.recorder.collectors import table
from assay.recorder.connection import Connection, GaveUp
from assay.recorder.environment import Environment
from assay.recorder.ledger import Ledger
from assay.recorder.log import Log
from assay.recorder.parquet import ParquetError, write_parquet
from assay.recorder.settings import Settings
from assay.recorder.shipper import Shipper, dump
from assay.recorder.spool import Spool
from assay.recorder.stream import Recording
from assay.store import layout
from assay.store.errors import StoreError, UploadLost
from assay.store.limits import MAX_DATASETS_BYTES

POLL_SECONDS = 0.5
_PARTS_AT_FULL_RATE = 200  # the commit interval grows by one flush interval per this many parts …
_LONGEST_COMMIT_SECONDS = 60.0  # … up to this
_PROGRESS_SECONDS = 300.0
_DATASETS = "datasets"  # below the spool, where planning.datasets mounts it for the fetch
_ENVIRONMENT_PATIENCE = 5.0  # wait for an image that is still being read at the end
_SILENT_FLUSHES = 10  # after this many flush intervals a summary is sent even without changes
_SCAN_SHARE = 50  # scans of the artifacts may take at most 1/50 of the time


class Session:
    """One process of the recorder."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        ended: Callable[[float], bool],
        leave: Callable[[int], object],
        warning: str = "",
    ) -> None:
        """``warning`` is for the record, unless it is complete already."""
        self._warning = warning
        self._settings = settings
        self._log = log
        self._ended = ended
        self._leave = leave
        self._stage = "reading the spool"
        self._spool = Spool(settings.spool, settings.pod)
        self._ending = threading.Event()
        self._collected = threading.Event()  # the sources have ended: no more artifacts come
        self._connection = Connection(settings.credentials, log, self._ending)
        self._offered: dict[str, Any] = {}
        self._failure: BaseException | None = None

    def run(self) -> int:
        """Record until the end. Return 0 if the manifest is in the store, else 1."""
        with self._spool.locked():
            if self._spool.finished:
                self._log.info("the record is complete already")
                return 0
            self._prepare()
            if self._warning:
                self._log.warning(self._warning)
                self._state.totals.event(self._warning)
            self._watch()
            return self._finish()

    # During the training.

    def _prepare(self) -> None:
        settings = self._settings
        folder = settings.directory / layout.ARTIFACTS
        self._make_folder(str(folder))
        sources = table.opened(settings.collect, settings.directory, settings.spool, time.time)
        self._stream = Recording(self._spool, sources, settings.part_bytes, settings.metrics)
        self._state = self._stream.state
        with suppress(OSError):  # a full disk; the first commit reports it
            self._spool.save(self._state)
        self._artifacts = Artifacts(
            folder,
            settings.prefix,
            Ledger(settings.spool / "artifacts.jsonl"),
            self._connection,
            max_files=settings.max_files,
            max_bytes=settings.max_bytes,
        )
        self._shipper = Shipper(settings.prefix, self._spool, self._state, self._connection)
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("shipper", self._shipper.run), ("artifacts", self._collect))
        ]
        self._environment = Environment(
            settings.image,
            settings.training,
            settings.node,
            settings.spool,
            lambda data: self._shipper.put(layout.ENVIRONMENT, data, "application/json"),
            self._log,
        )
        for thread in (*self._threads, threading.Thread(target=self._look_around, name="environment", daemon=True)):
            thread.start()
        state = self._state
        again = {"resumed_points": state.totals.points, "resumed_parts": len(state.parts)} if state.parts else {}
        self._log.info("recording", **again)

    def _make_folder(self, folder: str) -> None:
        """Create the folder that the training writes to, for any user it runs as."""
        try:
            if not os.path.lexists(folder):
                os.mkdir(folder)  # noqa: PTH102 (mode and owner are set below)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_uid == os.geteuid():
                    os.fchmod(fd, 0o777)
            finally:
                os.close(fd)
        except OSError as error:
            self._log.warning("cannot make the folder for artifacts", folder=folder, error=str(error.strerror))

    def _watch(self) -> None:
        commit_at = summary_at = heartbeat_at = time.monotonic()
        progress_at = time.monotonic() + _PROGRESS_SECONDS
        more = False
        while not self._ended(0.0 if more else POLL_SECONDS) and self._failure is None:
            more = self._stream.poll()
            now = time.monotonic()
            if now >= commit_at and self._stream.pending and self._stream.commit():
                commit_at = now + self._commit_interval()
            if now >= summary_at:
                summary_at = now + self._settings.flush_seconds
                if self._offer_summary(again=now >= heartbeat_at):
                    heartbeat_at = now + _SILENT_FLUSHES * self._settings.flush_seconds
            if now >= progress_at:
                self._log.info("recording", **self._figures())
                progress_at = now + _PROGRESS_SECONDS
        if self._failure is not None:
            raise self._failure

    def _commit_interval(self) -> float:
        """Return the seconds between commits. They increase in a long run, so that there are few parts."""
        flush = self._settings.flush_seconds
        slower = flush * (1 + len(self._state.parts) // _PARTS_AT_FULL_RATE)
        return max(flush, min(slower, _LONGEST_COMMIT_SECONDS))

    def _offer_summary(self, again: bool) -> bool:
        """Offer new parts, and a summary if it has changed or ``again`` is set. Return whether a summary was offered.

        The summary's time says until when everything is in the store. Without it, silence could mean an outage.
        """
        summary = records.summary(self._state, self._artifacts.counts(), self._connection.fault)
        changed = {**summary, "updated": ""} != {**self._offered, "updated": ""}
        offered = summary if changed or again else None
        self._shipper.offer(offered)
        self._offered = offered or self._offered
        return offered is not None

    def _collect(self) -> None:
        """Main function of the artifacts thread."""
        pause = self._settings.settle_seconds
        while not self._ending.wait(pause):
            began = time.thread_time()
            self._artifacts.sweep()
            pause = max(self._settings.settle_seconds, _SCAN_SHARE * (time.thread_time() - began))
        # Sources write their last files when they end.
        self._collected.wait()
        self._artifacts.finish(self._uploads_end)

    def _look_around(self) -> None:
        """Main function of the environment thread. It may fail or hang; the end does not depend on it."""
        with suppress(StoreError):
            self._environment.run()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread's work; its failure becomes the session's failure."""
        try:
            work()
        except BaseException as error:
            self._failure = self._failure or error

    # The end.

    def _finish(self) -> int:
        began = time.monotonic()
        deadline = began + self._settings.finish_seconds
        watchdog = threading.Timer(self._settings.finish_seconds, self._too_late)
        watchdog.daemon = True
        watchdog.start()
        self._uploads_end = began + self._settings.upload_seconds
        self._connection.end_at(deadline)
        self._ending.set()
        with suppress(OSError):  # a full disk: the standby then waits for the whole grace period
            self._spool.mark_ending()
        self._log.info("the training containers have ended; finishing the record")
        try:
            self._complete()
        except GaveUp as error:
            self._incomplete(f"the store did not take everything in time: {error}")
            return 1
        finally:
            watchdog.cancel()
        self._log.info("the record is complete", seconds=round(time.monotonic() - began, 1), **self._figures())
        return 0

    def _complete(self) -> None:
        """Do all remaining work and write the manifest last."""
        self._stage = "reading the rest of the metrics"
        try:
            missing = self._read_rest()
        finally:
            self._collected.set()
        self._shipper.offer(None)
        self._stage = "writing metrics.parquet"
        files, problems = self._compact()
        self._stage = "uploading metrics and artifacts"
        self._shipper.close()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        missing += problems + self._late() + self._artifacts.missing()
        self._warn_of_skipped()
        files += [*self._datasets(), *self._describe()]
        self._stage = "writing the manifest"
        self._write_records(files, missing)

    def _late(self) -> records.Missing:
        """Return what to do about files that could not be uploaded in time, as the first thing that is missing."""
        late, in_time = self._artifacts.late
        if not late:
            return []
        settings = self._settings
        needed = (late + in_time) / in_time * settings.upload_seconds if in_time else 2 * settings.grace_seconds
        wanted = 30 * math.ceil(1.25 * (settings.grace_seconds + needed - settings.upload_seconds) / 30)
        reason = (
            f"the pod's grace period of {settings.grace_seconds:g} s is over, and {late} files of {late + in_time} are "
            f"left: set terminationGracePeriodSeconds to {wanted} in the template"
        )
        return [(layout.ARTIFACTS, reason)]

    def _warn_of_skipped(self) -> None:
        """Add a warning to the record if entries of the folder are no files."""
        skipped = self._artifacts.skipped()
        if skipped:
            path, reason = skipped[0]
            more = f"; {len(skipped) - 1} more entries are left out" if len(skipped) > 1 else ""
            self._state.totals.event(f"{records.readable(path)} {reason} and is left out{more}")

    def _read_rest(self) -> records.Missing:
        """Read the sources to their end. Return what is missing from them."""
        stream = self._stream
        while stream.poll(final=True) and self._failure is None:
            pass
        if not stream.commit() or stream.blocked:
            raise OSError("the recorder's disk is full: the rest of the metrics cannot be recorded")
        missing = stream.problems
        stream.close()
        return missing

    def _compact(self) -> tuple[records.Files, records.Missing]:
        """Write and upload metrics.parquet. The parts hold the same points, so a record without it is complete."""
        target = self._settings.spool / layout.PARQUET
        if self._state.evicted:
            return [], [(layout.PARQUET, "the recorder's disk was too small to keep the points for it")]
        try:
            write_parquet(
                self._spool.part_files(self._state),
                self._state.totals.points,
                target,
                self._settings.spool / "tmp",
            )
        except ParquetError as error:
            self._log.warning("cannot write metrics.parquet; the parts hold the same points", error=str(error))
            return [], [(layout.PARQUET, f"cannot be written: {error}")]
        return [(layout.PARQUET, *self._upload(target, layout.PARQUET))], []

    def _datasets(self) -> records.Files:
        """Upload the fetch's report on the data sets. The training cannot write it: it does not mount the spool."""
        try:
            data = (self._settings.spool / _DATASETS / layout.DATASETS).read_bytes()
        except OSError:
            return []  # no data sets
        if len(data) > MAX_DATASETS_BYTES:
            return []
        self._shipper.put(layout.DATASETS, data, "application/json")
        return [(layout.DATASETS, len(data), hashlib.sha256(data).hexdigest())]

    def _upload(self, file: Path, path: str) -> tuple[int, str]:
        """Upload one of the recorder's own files. Return its size and sha256."""
        from assay.store.upload import upload

        key = layout.key(self._settings.prefix, path)
        while True:
            with file.open("rb") as source, suppress(UploadLost):
                return upload(self._connection.attempt, key, source, file.stat().st_size)

    def _describe(self) -> records.Files:
        """Ship environment.json unless its thread has done so. Return its entry."""
        data = self._environment.finish(min(_ENVIRONMENT_PATIENCE, self._settings.finish_seconds / 4))
        return [(layout.ENVIRONMENT, len(data), hashlib.sha256(data).hexdigest())]

    def _write_records(self, files: records.Files, missing: records.Missing) -> None:
        """Write the last two objects: the final summary, then the manifest."""
        final = records.summary(self._state, self._artifacts.counts(), "")
        data = dump(final)
        self._shipper.put(layout.SUMMARY, data, "application/json")
        files = [
            *files,
            *((layout.part_path(n), part.size, part.sha256) for n, part in enumerate(self._state.parts, 1)),
            *self._artifacts.files(),
            (layout.SUMMARY, len(data), hashlib.sha256(data).hexdigest()),
        ]
        manifest = dump(records.manifest(self._state, sorted(files), missing, final, self._artifacts.history()))
        self._shipper.put(layout.MANIFEST, manifest, "application/json")
        with suppress(OSError):  # a restart would only write the same objects again
            self._spool.mark_finished()

    def _too_late(self) -> None:
        fault = self._connection.fault
        why = f"the store does not take it: {fault}" if fault else f"still {self._stage}"
        self._incomplete(
            f"not finished within {self._settings.finish_seconds:g} s of the pod's grace period of "
            f"{self._settings.grace_seconds:g} s: {why}: set terminationGracePeriodSeconds higher in the template"
        )
        self._leave(1)

    def _incomplete(self, reason: str) -> None:
        self._log.error(f"the record is incomplete, there is no manifest: {reason}", **self._figures())

    def _figures(self) -> dict[str, int]:
        count, size = self._artifacts.counts()
        totals = self._state.totals
        return {
            "points": totals.points,
            "rejected": totals.rejected,
            "parts": len(self._state.parts),
            "uploaded_parts": self._state.uploaded,
            "artifacts": count,
            "artifact_bytes": size,
        }
