"""The open streams of a server: how many each user may have, what keeps them going, and how they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from starlette.responses import StreamingResponse
from starlette.types import Send

from assay.api.errors import AssayError
from assay.server.streams.pending import Pending

#: Open streams of one user and of all.
MOST_OF_ONE, MOST = 16, 400
#: Proxies close a connection that is silent for long.
HEARTBEAT_SECONDS: Final = 15.0
_HEADERS: Final = {"x-accel-buffering": "no"}


class TooManyStreams(AssayError):
    """The user, or the server, has as many streams as it may have."""


class Source(Protocol):
    """What adds events of one stream."""

    def stop(self) -> None:
        """End it soon, without waiting."""


class _EventStream(StreamingResponse):
    """A response that ends its sources at once, whatever ends it."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        async with aclosing(self._events):
            await super().stream_response(send)


class Streams:
    """All open streams. It is used in one event loop, except for `check`."""

    def __init__(self) -> None:
        self._open: set[Pending] = set()
        self._owners: Counter[str] = Counter()
        self._stopping = False

    def check(self, owner: str) -> None:
        """Raise TooManyStreams unless the user may open another stream."""
        if self._stopping:
            raise TooManyStreams("the server is shutting down")
        if self._owners[owner] >= MOST_OF_ONE:
            raise TooManyStreams(f"you have {MOST_OF_ONE} open streams already", hint="close other tabs")
        if len(self._open) >= MOST:
            raise TooManyStreams(f"the server has {MOST} open streams already")

    def response(self, owner: str, begin: Callable[[Pending], Sequence[Source]]) -> StreamingResponse:
        """Return a stream of events. ``begin`` starts what adds them."""
        return _EventStream(self._events(owner, begin))

    def stop(self) -> None:
        """End all streams, and open no more."""
        self._stopping = True
        for each in list(self._open):
            each.end("the server is shutting down")

    async def _events(self, owner: str, begin: Callable[[Pending], Sequence[Source]]) -> AsyncGenerator[str, None]:
        pending = Pending()
        try:
            self.check(owner)  # others may have been opened since the request was checked
        except TooManyStreams as error:
            pending.end(error.message)
        self._open.add(pending)
        self._owners[owner] += 1
        sources: Sequence[Source] = ()
        try:
            sources = () if pending.ended else begin(pending)
            over = False
            while not over:
                text, over = await pending.take(HEARTBEAT_SECONDS)
                yield text  # waits for a slow reader; meanwhile, events are merged
        finally:
            for source in sources:
                source.stop()
            self._open.discard(pending)
            self._owners -= Counter([owner])
