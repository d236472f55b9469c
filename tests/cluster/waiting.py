"""Waiting for a condition with a deadline. Nobody sleeps for a fixed time and hopes."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from tests.cluster.errors import ClusterError

T = TypeVar("T")

#: Deadlines are for a machine that does one thing. A worker of pytest-xdist shares it with others.
PATIENCE = 3.0 if "PYTEST_XDIST_WORKER" in os.environ else 1.0

#: Seconds between two probes, unless the caller names its own: what is quick is seen at once, and what takes a while
#: costs few requests. With a fixed 0.1 s, a quarter of all requests to the API server came from waiting tests.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.05, 0.4, 1.2


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float = 60,
    every: float | None = None,
    saw: Callable[[], object] | None = None,
) -> T:
    """Call `probe` until it returns something true, and return that. Pauses grow, unless `every` fixes them.

    An exception of the probe counts as "not yet". Raises ClusterError after `seconds`, with the probe's last
    exception or value, or with what `saw()` returns.
    """
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    last: object = None
    pause = every or FIRST_PAUSE
    while True:
        try:
            value = probe()
        except Exception as error:
            last = repr(error)
        else:
            if value:
                return value
            last = value
        if time.monotonic() > deadline:
            seen = saw() if saw else last
            raise ClusterError(f"{what}: not within {seconds:.0f} s; last seen: {seen}")
        time.sleep(pause)
        pause = every or min(pause * GROWTH, LONGEST_PAUSE)
