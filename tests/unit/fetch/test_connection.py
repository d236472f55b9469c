"""The connection of a fetch: how long it retries requests."""

from typing import Any

import pytest

from assay.fetch import connection as module
from assay.fetch.connection import Connection
from assay.fetch.errors import StoreSilent
from assay.store.errors import StoreDenied, StoreError, StoreUnavailable

pytestmark = pytest.mark.unit


class Clock:
    """A clock that a wait moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def connection(clock: Clock) -> Connection[Any]:
    found: Connection[Any] = Connection(lambda: None, 120, lambda _: None)
    found.stopped.wait = clock.wait  # type: ignore[method-assign,assignment]
    return found


@pytest.mark.parametrize("error", [StoreUnavailable("down"), StoreDenied("expired")])
def test_a_request_is_retried_however_long_ago_the_one_before_it_was(clock: Clock, error: StoreError) -> None:
    found, errors = connection(clock), [error]
    clock.now += 3600  # another data set was fetched

    def request(_: None) -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert found.attempt(request) == "done"


def test_a_store_that_never_answers_is_given_up_after_the_retry_period(clock: Clock) -> None:
    found, began = connection(clock), clock.now + 3600
    clock.now = began

    def request(_: None) -> str:
        raise StoreUnavailable("down")

    with pytest.raises(StoreSilent, match="gave up after 120 s: down"):
        found.attempt(request)
    assert 100 < clock.now - began <= 120


def test_data_that_arrives_restarts_the_retry_period(clock: Clock) -> None:
    found, left = connection(clock), [10]

    def request(_: None) -> str:
        if not left[0]:
            return "done"
        left[0] -= 1
        found.alive()
        clock.now += 100
        raise StoreUnavailable("the connection broke")

    assert found.attempt(request) == "done"
