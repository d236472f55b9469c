"""What one reader has not been sent yet: the names of changed objects by kind. Slow readers get them merged."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

#: Names that one event lists; beyond these, it says that there are more.
MOST_NAMES: Final = 100


@dataclass
class _Event:
    names: dict[str, None] = field(default_factory=dict)
    more: bool = False


class Pending:
    """Events that are to be sent. Any thread adds; the event loop in which it was made takes."""

    def __init__(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        self._lock = threading.Lock()
        self._events: dict[str, _Event] = {}
        self._versions: dict[str, str] = {}
        self._end: str | None = None

    def changed(self, kind: str, name: str = "", version: str = "") -> None:
        """Note that an object of a kind changed; without a name, any of them may have."""
        with self._lock:
            event = self._events.setdefault(kind, _Event())
            if not name or (len(event.names) >= MOST_NAMES and name not in event.names):
                event.more = True
            else:
                event.names[name] = None
            if version:
                self._versions[kind] = version
        self._wake()

    def passed(self, kind: str, version: str) -> None:
        """Note that everything up to a resource version was seen. The reader learns it with the next event."""
        with self._lock:
            self._versions[kind] = version

    def end(self, why: str) -> None:
        """End the stream after the pending events, and send the reader the reason."""
        with self._lock:
            self._end = why if self._end is None else self._end
        self._wake()

    @property
    def ended(self) -> bool:
        """Whether nothing is to follow."""
        return self._end is not None

    async def take(self, seconds: float) -> tuple[str, bool]:
        """Return what is to be sent now, and whether that is all. After some seconds without events, a heartbeat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
        with self._lock:
            found, self._events = self._events, {}
            position = ",".join(f"{kind}={version}" for kind, version in sorted(self._versions.items()))
            end = self._end
        # A block without data is no event, but it tells browsers where to resume.
        head = f": \nid: {position}\n\n" if position else ": \n\n"
        texts = [head, *(_text(kind, _data(event)) for kind, event in found.items())]
        if end is not None:
            texts.append(_text("end", {"message": end}))
        return "".join(texts), end is not None

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._woken.set)


def _data(event: _Event) -> dict[str, object]:
    return {"names": list(event.names), "more": event.more}


def _text(kind: str, data: dict[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
