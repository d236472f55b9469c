"""Reads the metrics of a pod from metrics.jsonl, parses them and writes parts. No store, no threads.

Data that is not committed yet is in memory only. If it is lost, it is read again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

from assay.recorder.metrics import Parser, quote
from assay.recorder.spool import Spool
from assay.recorder.state import State
from assay.recorder.tail import CHUNK_BYTES, MAX_LINE_BYTES, Batch, Tail

FILE = "metrics.jsonl"
_SLICE_SECONDS = 0.5  # the duration of one `poll`
_SPACE = (errno.ENOSPC, errno.EDQUOT)
_FULL = "the recorder's disk is full: metrics wait in metrics.jsonl until there is room"


class MetricsStream:
    """Reads new lines and commits them in parts. Not thread-safe."""

    def __init__(
        self,
        path: Path,
        spool: Spool,
        part_bytes: int,
        clock: Callable[[], float] = time.time,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.spool = spool
        self.state: State = spool.load()
        self._tail = Tail(path, self.state.position, chunk_bytes)
        self._parser = Parser(self.state.totals)
        self._part_bytes = part_bytes
        self._clock = clock
        self._rows: list[str] = []
        self._bytes = 0
        self._dirty = False
        self.blocked = False  # the spool is full: nothing is read until a commit succeeds

    @property
    def problem(self) -> str:
        """Why metrics.jsonl cannot be read; "" if it can be read or does not exist."""
        return self._tail.problem

    @property
    def pending(self) -> bool:
        """Whether there is something to commit."""
        return self._dirty

    def poll(self, final: bool = False) -> bool:
        """Read for a limited time and commit full parts. True if more data may be available now."""
        if self.blocked and not self.commit():
            return False
        if not self._tail.refresh(final):
            self._take_events()
            return False
        deadline = time.monotonic() + _SLICE_SECONDS
        more = self._step(final)
        while more and not self.blocked and time.monotonic() < deadline:
            more = self._step(final)
        self._take_events()
        return more and not self.blocked

    def commit(self) -> bool:
        """Commit the data that was read. False if the spool is full."""
        if not self._dirty:
            return True
        try:
            self._commit()
        except OSError as error:
            if error.errno not in _SPACE:
                raise
            self.state.totals.event(_FULL)
            self.blocked = True
            return False
        self._rows, self._bytes, self._dirty, self.blocked = [], 0, False, False
        return True

    def close(self) -> None:
        """Close the file."""
        self._tail.close()

    def _step(self, final: bool) -> bool:
        batch = self._tail.read(final)
        if batch is None:
            return False
        self._take(batch)
        if self._bytes >= self._part_bytes:
            self.commit()
        return True

    def _take(self, batch: Batch) -> None:
        for number, head in batch.oversized:
            self.state.totals.reject(f"line {number}: longer than {MAX_LINE_BYTES} bytes: {quote(head)}")
        rows = self._parser.parse(batch.lines, round(self._clock(), 3), batch.first_line)
        self._rows += rows
        self._bytes += sum(map(len, rows))
        self._dirty = True

    def _take_events(self) -> None:
        events, self._tail.events = self._tail.events, []
        if self.problem:
            events.append(f"metrics.jsonl {self.problem}")
        for event in events:
            known = len(self.state.totals.events)
            self.state.totals.event(event)
            self._dirty = self._dirty or len(self.state.totals.events) > known

    def _commit(self) -> None:
        try:
            self.spool.commit(self.state, self._rows)
        except OSError as error:
            if error.errno not in _SPACE or not self.spool.evict(self.state):
                raise
            self.spool.commit(self.state, self._rows)
