"""The log of one container start: read new lines from the node, and append them to the store.

The content of the store determines where reading resumes, also after a crash or a change of leader.
`assay.controllers.tracking.logs` decides when to read.
"""

import asyncio
import time
from collections.abc import Collection
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta

from assay.controllers import metrics
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning.runs.starts import Start
from assay.store import logs
from assay.store.aio import AsyncStore
from assay.store.errors import RecordError, StoreError
from assay.store.layout import LogName
from assay.store.limits import MAX_TEXT_CHARS
from assay.store.log_resumption import Cursor, LogResumption, Part, since
from assay.store.logs import Gap

#: How far before the last stored line a response begins, because stdout and stderr are not strictly in order.
_BACK = timedelta(seconds=5)
#: The same for the final read, because the clock may have been set back.
_FAR_BACK = timedelta(minutes=10)
#: Maximum bytes per visit; the next visit reads the rest.
_MAX_READ = 64 << 20
#: Maximum bytes while it is uncertain whether the response belongs to this log.
_MAX_UNSURE = 1 << 20
#: Seconds within which the operator learns about a restart of the container.
_DEBOUNCE_SECONDS = 2.0
#: A final response of at least this size may be truncated, so it is requested again.
_LARGE = 64 << 10
#: Consecutive responses that end before the log's known end; after that many, the response is accepted.
_MAX_BROKEN = 3
#: A container that prints more between two reads is followed, because a node rotates at 10 MiB and serves only the
#: last file.
CHATTY_BYTES = 64 << 10
#: Smaller pieces are parsed here, because starting a thread costs more.
_SMALL = 16 << 10

_ROTATED = "the node rotated the log before it was read: lines may be missing"
_BROKEN = "the node no longer has the last stored lines: lines may be missing or duplicated"


@dataclass(frozen=True)
class Sources:
    """The API server and the store. ``reads`` limits the number of concurrent responses."""

    kube: Kube
    store: AsyncStore
    reads: asyncio.Semaphore


@dataclass(frozen=True)
class _Request:
    """One request for a log. ``gap`` is recorded if the response has new lines."""

    start: Start
    #: Whether the response certainly belongs to this start.
    sure: bool
    since: str
    #: Nonzero to follow the log: seconds after which received lines are stored.
    follow: float = 0.0
    gap: Gap | None = None

    def query(self, name: LogName) -> dict[str, str]:
        """Return the fields of PodLogOptions."""
        options = {"container": name.container, "timestamps": "true", "sinceTime": self.since}
        options["previous"] = "true" if self.start.previous else ""
        options["follow"] = "true" if self.follow else ""
        return {field: value for field, value in options.items() if value}


@dataclass(frozen=True)
class _Buffered:
    """Lines that are stored once it is certain that they belong to this log, not to the container's next start."""

    start: Start
    at: float
    data: bytes
    size: int
    first: bytes
    cursor: Cursor | None
    gap: Gap | None
    #: Whether these lines complete the log.
    all: bool


@dataclass
class _Reading:
    """A response that is being read: its new lines, and those not stored yet."""

    log_resumption: LogResumption
    request: _Request
    part: Part = field(default_factory=Part)
    #: When the last part was stored.
    closed: float = field(default_factory=time.monotonic)
    #: Whether the response is complete.
    ended: bool = False


class LogStream:
    """The log of one container start. Only one task at a time may read it."""

    def __init__(self, sources: Sources, namespace: str, prefix: str, name: LogName) -> None:
        self.name = name
        self.parts = 0
        #: New bytes of the last visit.
        self.taken = 0
        #: Whether nothing more will be stored.
        self.done = False
        #: Whether no gap is known.
        self.whole = True
        self._sources, self._namespace, self._prefix = sources, namespace, prefix
        self._cursor: Cursor | None = None
        self._known = False  # whether _cursor is valid
        #: The timestamp of the first line; empty when an earlier operator process stored it.
        self.first = b""
        self._buffered: _Buffered | None = None
        self._spare: _Buffered | None = None
        self._broken = 0

    @property
    def waits(self) -> float:
        """Seconds until the buffered lines can be stored; 0 when there are none."""
        return max(0.1, self._buffered.at + _DEBOUNCE_SECONDS - time.monotonic()) if self._buffered else 0.0

    async def visit(self, start: Start, *, over: bool) -> None:
        """Read and store new lines. ``over``: the pod will start no more containers.

        Raises ApiError when the node cannot be read, StoreError when the store cannot be written.
        """
        try:
            await self._visit(start, over)
        except StoreError:
            # Whether the last part was written is unknown; the next visit reads it from the store.
            self._known, self._buffered = False, None
            raise

    async def follow(self, start: Start, seconds: float) -> None:
        """Follow a container while it prints a lot, and store a part at least every ``seconds``.

        Does nothing for a log without stored lines. Raises StoreError and ApiError, as ``visit`` does.
        """
        if self._cursor is None or not self._known or self._buffered:
            return
        request = _Request(start, True, since(self._cursor, _BACK), follow=seconds)
        try:
            await self._read(LogResumption(self._cursor), request)
        except StoreError:
            self._known = False
            raise

    async def give_up(self, reason: str, others: Collection[bytes] = ()) -> None:
        """Record that the rest of the log is missing. Raises StoreError.

        Buffered lines are stored, unless they begin like one of the other logs (``others``) of the container.
        """
        buffered = self._buffered or self._spare
        self.done = buffered is not None and buffered.first not in others
        if buffered and self.done:
            await self._store_part(buffered)
        if not (buffered and self.done and buffered.all):
            await self._note(self._gap(reason))
        self.done, self._buffered, self._spare = True, None, None

    async def _visit(self, start: Start, over: bool) -> None:
        self.taken = 0
        if not self._known and not await self._find_end():
            return
        if self._buffered and not await self._confirm(self._buffered, start, over):
            return
        # Without a known line, the response could belong to the container's next start.
        sure = over or not start.restartable
        begin = since(self._cursor, _BACK if start.running else _FAR_BACK) if self._cursor else ""
        if not await self._read(LogResumption(self._cursor), _Request(start, sure or self._cursor is not None, begin)):
            await self._read_rotated(start, sure)
        self._broken, self._spare = 0, None
        self.done = not (start.running or self._buffered or self.taken >= _LARGE)

    async def _read_rotated(self, start: Start, sure: bool) -> None:
        """Store all that the node has, because it no longer has the last stored line."""
        gap = self._gap(_BROKEN if self._broken else _ROTATED)
        log_resumption = LogResumption(self._cursor, rotated=True, trusting=self._broken + 1 >= _MAX_BROKEN)
        await self._read(log_resumption, _Request(start, sure, "", gap=gap))
        if not start.running and not log_resumption.taken:
            await self._note(gap)

    async def _find_end(self) -> bool:
        """Read from the store where the log resumes. Return False when its parts are unreadable."""
        store = self._sources.store
        try:
            self._cursor, self.parts = await store.run(logs.end_of_log, store.blocking, self._prefix, self.name)
        except RecordError as error:
            await self.give_up(f"the stored part of the log cannot be read, so reading stopped: {error}")
            return False
        self._known = True
        return True

    async def _confirm(self, buffered: _Buffered, start: Start, over: bool) -> bool:
        """Store or drop buffered lines once it is certain which start they belong to. False: do not read now."""
        same = (buffered.start.id, buffered.start.previous) == (start.id, start.previous)
        if same and buffered.start.running and not start.running:
            self._buffered = None  # the container has ended since: read the complete log
            return True
        if same and not over and time.monotonic() < buffered.at + _DEBOUNCE_SECONDS:
            return False
        self._buffered = None
        if not same:
            # The log must now be requested as ``previous``. These lines are the fallback if the node no longer has it.
            self._spare = buffered
            return True
        await self._store_part(buffered)
        # The node may have removed an earlier start since; its response was complete.
        self.done = buffered.all
        return not self.done

    # One response

    async def _read(self, log_resumption: LogResumption, request: _Request) -> bool:
        """Read one response and store its new lines in parts. Return False when it lacks the last known line."""
        reading, failure = _Reading(log_resumption, request), None
        try:
            async with nullcontext() if request.follow else self._sources.reads:
                await self._stream(reading)
        except ApiError as error:
            failure = error
        await self._close(reading)
        self.taken += log_resumption.taken
        if log_resumption.broken:
            self._broken += 1
            failure = ApiError(0, "CutShort", "the response ends before the last stored line")
        elif log_resumption.noise:
            failure = failure or ApiError(0, "Unreadable", f"unexpected line from the node: {log_resumption.noise}")
        if failure:
            raise failure
        return log_resumption.found

    async def _stream(self, reading: _Reading) -> None:
        """Pass a response through the log resumption, up to the limits."""
        log_resumption, request = reading.log_resumption, reading.request
        query = request.query(self.name)
        async with aclosing(self._sources.kube.log(self._namespace, self.name.pod, query)) as response:
            async for piece in response:
                reading.part.add(await self._new(log_resumption, piece))
                if request.follow and time.monotonic() >= reading.closed + request.follow:
                    if not log_resumption.found or reading.part.size < CHATTY_BYTES:
                        return
                    await self._close(reading)
                if request.sure and reading.part.size >= logs.PART_BYTES:
                    await self._close(reading)
                if not request.follow and log_resumption.taken >= (_MAX_READ if request.sure else _MAX_UNSURE):
                    return
            reading.part.add(log_resumption.finish(not request.start.running))
            reading.ended = True

    async def _new(self, log_resumption: LogResumption, piece: bytes) -> bytes:
        if len(piece) < _SMALL:
            return log_resumption.feed(piece)
        return await self._sources.store.compute(log_resumption.feed, piece)

    # Its new lines

    async def _close(self, reading: _Reading) -> None:
        """Store the lines that were read, or buffer them."""
        part, request = reading.part, reading.request
        if not part.size:
            return
        everything = reading.ended and not request.start.running and part.size < _LARGE
        buffered = _Buffered(
            request.start,
            time.monotonic(),
            part.close(),
            part.size,
            reading.log_resumption.first,
            reading.log_resumption.cursor,
            request.gap,
            everything,
        )
        reading.part, reading.closed = Part(), time.monotonic()
        if request.sure:
            await self._store_part(buffered)
            reading.request = replace(request, gap=None)
        else:
            self._buffered = buffered

    async def _store_part(self, buffered: _Buffered) -> None:
        """Append a part to the log. A gap is recorded first: after a crash between the two, the part would hide it."""
        if buffered.gap:
            await self._note(buffered.gap)
        store = self._sources.store
        await store.run(logs.put_part, store.blocking, self._prefix, self.name, self.parts + 1, buffered.data)
        self.first = buffered.first if self._cursor is None else self.first
        self._cursor, self.parts = buffered.cursor, self.parts + 1
        metrics.LOG_BYTES.inc(buffered.size)

    async def _note(self, gap: Gap) -> None:
        store = self._sources.store
        await store.run(logs.note_gap, store.blocking, self._prefix, self.name, gap)
        self.whole = False
        metrics.LOG_GAPS.inc()

    def _gap(self, reason: str) -> Gap:
        return Gap(after=self._cursor.stamp.decode() if self._cursor else "", reason=reason[:MAX_TEXT_CHARS])
