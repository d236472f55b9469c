"""One log, of one start of a container: asks its node for what is new, and adds that to the store.

What the store has decides where the log goes on, also after a crash and beside another operator. Nothing here says when
to read: see `assay.controllers.tracking.logs`.
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

#: How far before the last line an answer begins: what two streams of a container print is nearly in order.
_BACK = timedelta(seconds=5)
#: The same for the last look: a clock may have been set back since.
_FAR_BACK = timedelta(minutes=10)
#: Of one visit; whatever else there is comes with the next one.
_MAX_READ = 64 << 20
#: Of an answer of which it is not yet sure that it is this log.
_MAX_UNSURE = 1 << 20
#: In which a restart of the container is surely known of.
_SETTLE_SECONDS = 2.0
#: From how much on a last answer may have been cut short on its way, so that it is asked again.
_LARGE = 64 << 10
#: Answers in a row that end before the log's known end, until what they say is believed.
_MAX_BROKEN = 3
#: A container that prints more between two looks is followed: a node rotates at 10 MiB, and has only the last file.
CHATTY_BYTES = 64 << 10
#: Below so many bytes it costs less to look for lines here than in a thread.
_SMALL = 16 << 10

_ROTATED = "the node had rotated the log before it was read: lines may be missing"
_BROKEN = "the node no longer had the lines that were read last: lines may be missing or there twice"


@dataclass(frozen=True)
class Sources:
    """Where logs come from and go to. ``reads`` bounds the answers that are being read at once."""

    kube: Kube
    store: AsyncStore
    reads: asyncio.Semaphore


@dataclass(frozen=True)
class _Asked:
    """One question for a log. ``gap`` is what it tells of if it brings anything."""

    start: Start
    #: Whether the answer is of this start for sure.
    sure: bool
    since: str
    #: To wait for more, and the seconds after which what has come is kept.
    follow: float = 0.0
    gap: Gap | None = None

    def query(self, name: LogName) -> dict[str, str]:
        """The fields of PodLogOptions."""
        asked = {"container": name.container, "timestamps": "true", "sinceTime": self.since}
        asked["previous"] = "true" if self.start.previous else ""
        asked["follow"] = "true" if self.follow else ""
        return {field: value for field, value in asked.items() if value}


@dataclass(frozen=True)
class _Held:
    """Lines that are kept once it is sure that they are of this log, and not of the container's next start."""

    start: Start
    at: float
    data: bytes
    size: int
    first: bytes
    cursor: Cursor | None
    gap: Gap | None
    #: Whether the log will have nothing else.
    all: bool


@dataclass
class _Reading:
    """An answer that is being read: what of it is new, and what is not kept yet."""

    log_resumption: LogResumption
    asked: _Asked
    part: Part = field(default_factory=Part)
    #: When a part was kept last.
    closed: float = field(default_factory=time.monotonic)
    #: Whether the answer has come to its end.
    ended: bool = False


class LogStream:
    """The log of one start of a container. One task at a time reads it."""

    def __init__(self, sources: Sources, namespace: str, prefix: str, name: LogName) -> None:
        self.name = name
        self.parts = 0
        #: Bytes that the last visit has brought.
        self.taken = 0
        #: Whether all that will ever be kept is.
        self.done = False
        #: Whether nobody knows of anything that is missing.
        self.whole = True
        self._sources, self._namespace, self._prefix = sources, namespace, prefix
        self._cursor: Cursor | None = None
        self._known = False  # where it goes on
        #: The stamp of its first line; empty when that was kept before this operator came.
        self.first = b""
        self._held: _Held | None = None
        self._spare: _Held | None = None
        self._broken = 0

    @property
    def waits(self) -> float:
        """Seconds until lines that are held back can be kept; 0 when there are none."""
        return max(0.1, self._held.at + _SETTLE_SECONDS - time.monotonic()) if self._held else 0.0

    async def visit(self, start: Start, *, over: bool) -> None:
        """Keep what is new. ``over``: the pod will start nothing any more.

        Raises ApiError when the node cannot be asked, StoreError when the store does not take it.
        """
        try:
            await self._visit(start, over)
        except StoreError:
            # Whether the last part was written or not: the store knows.
            self._known, self._held = False, None
            raise

    async def follow(self, start: Start, seconds: float) -> None:
        """Keep what a container prints as long as it prints a lot; a part at least every so many seconds.

        Not for a log of which nothing is kept. Raises StoreError, as ``visit``, and ApiError.
        """
        if self._cursor is None or not self._known or self._held:
            return
        asked = _Asked(start, True, since(self._cursor, _BACK), follow=seconds)
        try:
            await self._read(LogResumption(self._cursor), asked)
        except StoreError:
            self._known = False
            raise

    async def give_up(self, reason: str, others: Collection[bytes] = ()) -> None:
        """Say that the rest of the log is missing. Raises StoreError.

        What was held back is kept, unless it begins as one of the other logs of the container does.
        """
        held = self._held or self._spare
        self.done = held is not None and held.first not in others
        if held and self.done:
            await self._keep(held)
        if not (held and self.done and held.all):
            await self._note(self._gap(reason))
        self.done, self._held, self._spare = True, None, None

    async def _visit(self, start: Start, over: bool) -> None:
        self.taken = 0
        if not self._known and not await self._find_end():
            return
        if self._held and not await self._settle(self._held, start, over):
            return
        # Without a line that is known, the answer could be of the container's next start.
        sure = over or not start.restartable
        begin = since(self._cursor, _BACK if start.running else _FAR_BACK) if self._cursor else ""
        if not await self._read(LogResumption(self._cursor), _Asked(start, sure or self._cursor is not None, begin)):
            await self._read_rotated(start, sure)
        self._broken, self._spare = 0, None
        self.done = not (start.running or self._held or self.taken >= _LARGE)

    async def _read_rotated(self, start: Start, sure: bool) -> None:
        """Keep whatever the node has, which no longer has the last line that is kept."""
        gap = self._gap(_BROKEN if self._broken else _ROTATED)
        log_resumption = LogResumption(self._cursor, rotated=True, trusting=self._broken + 1 >= _MAX_BROKEN)
        await self._read(log_resumption, _Asked(start, sure, "", gap=gap))
        if not start.running and not log_resumption.taken:
            await self._note(gap)

    async def _find_end(self) -> bool:
        """Find out where the log goes on. False when nobody can."""
        store = self._sources.store
        try:
            self._cursor, self.parts = await store.run(logs.end_of_log, store.blocking, self._prefix, self.name)
        except RecordError as error:
            await self.give_up(f"what was kept cannot be read, so the rest was not either: {error}")
            return False
        self._known = True
        return True

    async def _settle(self, held: _Held, start: Start, over: bool) -> bool:
        """Keep or drop what was held back, once it is sure whose it is. False when there is nothing to read now."""
        same = (held.start.id, held.start.previous) == (start.id, start.previous)
        if same and held.start.running and not start.running:
            self._held = None  # it has ended since: now there is all of it
            return True
        if same and not over and time.monotonic() < held.at + _SETTLE_SECONDS:
            return False
        self._held = None
        if not same:
            # To be asked for by another name. If the node no longer has it, this is better than nothing.
            self._spare = held
            return True
        await self._keep(held)
        # A node may well have removed an earlier start meanwhile: what it gave of it was all.
        self.done = held.all
        return not self.done

    # One answer

    async def _read(self, log_resumption: LogResumption, asked: _Asked) -> bool:
        """Read one answer, and keep part by part what it brings. False when the last known line is not in it."""
        reading, failure = _Reading(log_resumption, asked), None
        try:
            async with nullcontext() if asked.follow else self._sources.reads:
                await self._stream(reading)
        except ApiError as error:
            failure = error
        await self._close(reading)
        self.taken += log_resumption.taken
        if log_resumption.broken:
            self._broken += 1
            failure = ApiError(0, "CutShort", "the answer ends before the end of what is kept")
        elif log_resumption.noise:
            failure = failure or ApiError(0, "Unreadable", f"the node says: {log_resumption.noise}")
        if failure:
            raise failure
        return log_resumption.found

    async def _stream(self, reading: _Reading) -> None:
        """Feed an answer through the seam, as long as it is worth it."""
        log_resumption, asked = reading.log_resumption, reading.asked
        async with aclosing(self._sources.kube.log(self._namespace, self.name.pod, asked.query(self.name))) as answer:
            async for piece in answer:
                reading.part.add(await self._new(log_resumption, piece))
                if asked.follow and time.monotonic() >= reading.closed + asked.follow:
                    if not log_resumption.found or reading.part.size < CHATTY_BYTES:
                        return
                    await self._close(reading)
                if asked.sure and reading.part.size >= logs.PART_BYTES:
                    await self._close(reading)
                if not asked.follow and log_resumption.taken >= (_MAX_READ if asked.sure else _MAX_UNSURE):
                    return
            reading.part.add(log_resumption.finish(not asked.start.running))
            reading.ended = True

    async def _new(self, log_resumption: LogResumption, piece: bytes) -> bytes:
        if len(piece) < _SMALL:
            return log_resumption.feed(piece)
        return await self._sources.store.compute(log_resumption.feed, piece)

    # What it brings

    async def _close(self, reading: _Reading) -> None:
        """Keep what was read, or hold it back."""
        part, asked = reading.part, reading.asked
        if not part.size:
            return
        everything = reading.ended and not asked.start.running and part.size < _LARGE
        held = _Held(
            asked.start,
            time.monotonic(),
            part.close(),
            part.size,
            reading.log_resumption.first,
            reading.log_resumption.cursor,
            asked.gap,
            everything,
        )
        reading.part, reading.closed = Part(), time.monotonic()
        if asked.sure:
            await self._keep(held)
            reading.asked = replace(asked, gap=None)
        else:
            self._held = held

    async def _keep(self, held: _Held) -> None:
        """Add a part to the log. Of a gap it is first said that it is there: once the part is, nobody would see it."""
        if held.gap:
            await self._note(held.gap)
        store = self._sources.store
        await store.run(logs.put_part, store.blocking, self._prefix, self.name, self.parts + 1, held.data)
        self.first = held.first if self._cursor is None else self.first
        self._cursor, self.parts = held.cursor, self.parts + 1
        metrics.LOG_BYTES.inc(held.size)

    async def _note(self, gap: Gap) -> None:
        store = self._sources.store
        await store.run(logs.note_gap, store.blocking, self._prefix, self.name, gap)
        self.whole = False
        metrics.LOG_GAPS.inc()

    def _gap(self, reason: str) -> Gap:
        return Gap(after=self._cursor.stamp.decode() if self._cursor else "", reason=reason[:MAX_TEXT_CHARS])
