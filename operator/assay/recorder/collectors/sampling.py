"""A source that is polled in its own thread, so that a slow answer delays no other source.

What has not been committed is lost when the recorder is killed: a sample cannot be read again. The number of the
sample, which is its step, continues.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from assay.recorder.collectors.protocol import Position
from assay.recorder.record import Record

#: Samples that wait to be recorded; the oldest ones are dropped.
_MAX_WAITING = 100

Sample = Callable[[], Mapping[str, float]]


class Sampler:
    """Takes a sample every `seconds`, and adds the values that have changed since the sample before."""

    def __init__(
        self, name: str, sample: Sample, clock: Callable[[], float], seconds: float, position: Position
    ) -> None:
        """`sample` raises OSError or ValueError if there is no answer; its message says why."""
        self._name, self._sample, self._clock, self._seconds = name, sample, clock, seconds
        self._count: int = position.get("count", 0)
        self._last: dict[str, float] = {}
        self._waiting: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_MAX_WAITING)
        self._closed = threading.Event()
        self._answered = False
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """The reason why no request was ever answered."""
        return "" if self._answered else self._failure

    def poll(self, record: Record, *, final: bool) -> bool:
        """Add one sample."""
        if not self._waiting:
            if final and not self._answered and self._failure:
                record.totals.event(f"{self._name} {self._failure}", kind=self._name)
            return False
        when, values = self._waiting.popleft()
        changed = [(name, value) for name, value in values.items() if repr(self._last.get(name)) != repr(value)]
        self._last = dict(values)
        record.points(changed, self._count, when, self._name)
        self._count += 1
        return True

    def position(self) -> Position:
        """The number of the next sample."""
        return {"count": self._count}

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                values = self._sample()
            except (OSError, ValueError) as error:
                self._failure = f"cannot be read: {error}"[:300]
            except Exception as error:  # of a parser or a driver; without a report the samples would only be missing
                self._failure = f"cannot be read: {type(error).__name__}: {error}"[:300]
            else:
                self._answered = True
                self._waiting.append((round(self._clock(), 3), values))
            self._closed.wait(self._seconds)
