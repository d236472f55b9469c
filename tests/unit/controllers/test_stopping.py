"""A process that waits for its Lease ends at SIGTERM, also as process 1, which has no default handlers."""

import asyncio
import logging
import os
import signal

import pytest

from assay.controllers.__main__ import _soften
from assay.controllers.operator import _unless_stopped

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
async def test_a_replica_that_waits_for_the_lease_ends_at_once(ended_by: signal.Signals) -> None:
    async def wait_for_ever() -> None:
        os.kill(os.getpid(), ended_by)
        await asyncio.Event().wait()

    assert await asyncio.wait_for(_unless_stopped(wait_for_ever()), 10) is False


async def test_a_replica_that_gets_the_lease_works() -> None:
    async def get_it() -> None:
        await asyncio.sleep(0)

    assert await _unless_stopped(get_it()) is True


@pytest.mark.parametrize(
    ("name", "message", "level"),
    [
        ("kopf._cogs.clients.api", "Request attempt #1/4 failed; will retry: GET https://x", "WARNING"),
        ("kopf._cogs.clients.api", "something else", "ERROR"),
        ("assay.controllers.operator", "Request attempt #1/4 failed", "ERROR"),
    ],
)
def test_transient_outages_are_not_logged_as_errors(name: str, message: str, level: str) -> None:
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, None, None)
    assert _soften(record)
    assert record.levelname == level
