"""Polls the collectors and writes what they add as parts. No store, no threads.

Data that is not committed yet is in memory only. If it is lost, it is read again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from assay.recorder.collectors.protocol import Collector, Position
from assay.recorder.record import Record
from assay.recorder.spool import Spool
from assay.recorder.state import State

_SLICE_SECONDS = 0.5  # the duration of one `poll`
_SPACE = (errno.ENOSPC, errno.EDQUOT)
_FULL = "the recorder's disk is full: metrics wait in their files until there is room"


@dataclass
class _Source:
    name: str
    collector: Collector
    failed: str = ""  # why it is not polled any more


class Recording:
    """Reads from all sources and commits what they add in parts. Not thread-safe."""

    def __init__(
        self,
        spool: Spool,
        sources: Mapping[str, Callable[[Position], Collector]],
        part_bytes: int,
        wanted: Collection[str] = (),
    ) -> None:
        """`sources` open the collectors by name; `wanted` are the metrics that are summarised in any case."""
        self.spool = spool
        self.state: State = spool.load()
        self.record = Record(self.state.totals, wanted)
        positions = self.state.positions
        self._sources = [_Source(name, opened(positions.get(name, {}))) for name, opened in sources.items()]
        self._part_bytes = part_bytes
        self._dirty = False
        self.blocked = False  # the spool is full: nothing is read until a commit succeeds

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Name and problem of each source that cannot be read. They form a sentence."""
        found = ((each.name, each.failed or each.collector.problem) for each in self._sources)
        return [(name, problem) for name, problem in found if problem]

    @property
    def pending(self) -> bool:
        """Whether there is something to commit."""
        return self._dirty

    def poll(self, final: bool = False) -> bool:
        """Read for a limited time and commit full parts. True if more data may be available now."""
        if self.blocked and not self.commit():
            return False
        deadline = time.monotonic() + _SLICE_SECONDS
        busy = [each for each in self._sources if not each.failed]
        while busy and not self.blocked:
            busy = [each for each in busy if self._step(each, final)]
            if time.monotonic() >= deadline:
                break
        for name, problem in self.problems:
            self._event(f"{name} {problem}")
        return bool(busy) and not self.blocked

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
        self.record.taken()
        self._dirty = self.blocked = False
        return True

    def close(self) -> None:
        """Close the sources."""
        for each in self._sources:
            each.collector.close()

    def _step(self, source: _Source, final: bool) -> bool:
        """Poll one source. True if it may have more."""
        if self.blocked:
            return True
        warnings = len(self.state.totals.events)
        try:
            more = source.collector.poll(self.record, final=final)
        except Exception as error:
            # The other sources do not depend on this one.
            source.failed = f"cannot be read: {type(error).__name__}: {error}"[:300]
            source.collector.close()
            self._dirty = True
            return False
        self._dirty = self._dirty or more or len(self.state.totals.events) > warnings
        if self.record.bytes >= self._part_bytes:
            self.commit()
        return more

    def _event(self, text: str) -> None:
        known = len(self.state.totals.events)
        self.state.totals.event(text)
        self._dirty = self._dirty or len(self.state.totals.events) > known

    def _commit(self) -> None:
        # A source that failed keeps its last position: what it added until then is in the rows.
        self.state.positions |= {each.name: each.collector.position() for each in self._sources}
        try:
            self.spool.commit(self.state, self.record.rows)
        except OSError as error:
            if error.errno not in _SPACE or not self.spool.evict(self.state):
                raise
            self.spool.commit(self.state, self.record.rows)
