"""The connection to the store: it retries, reloads credentials, gives up in time and never logs a secret."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.recorder import connection as module
from assay.recorder.connection import Connection, GaveUp
from assay.recorder.log import Log
from assay.store.client import ObjectStore
from assay.store.credentials import Credentials
from assay.store.errors import NotFound, StoreDenied, StoreError, StoreUnavailable

pytestmark = pytest.mark.unit


class Place:
    """A connection with its credentials file and its log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "credentials.json"
        self.output = io.StringIO()
        self.ending = threading.Event()
        self.connection = Connection(self.path, Log(self.output), self.ending)
        self.credentials("first")

    def credentials(self, name: str) -> None:
        self.path.write_text(Credentials("http://s3", "r", "assay", f"{name}-key", f"{name}-secret").to_json())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.002)
    made = Place(tmp_path)
    yield made
    assert "-secret" not in made.output.getvalue()
    assert "-key" not in made.output.getvalue()


@pytest.mark.parametrize("error", [StoreUnavailable("down"), StoreDenied("expired"), NotFound("no bucket")])
def test_failures_are_retried_and_reported_once(place: Place, error: StoreError) -> None:
    errors = [error] * 4

    def request(_: ObjectStore) -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert place.connection.attempt(request) == "done"
    log = place.output.getvalue()
    assert log.count("cannot upload to the store; data is buffered on disk") == 1
    assert log.count("uploads to the store work again") == 1
    assert place.connection.fault == str(error)
    place.connection.reported(str(error))
    assert place.connection.fault == ""


def test_permanent_errors_are_raised_immediately(place: Place) -> None:
    def refuse(_: ObjectStore) -> None:
        raise StoreError("bad name")

    with pytest.raises(StoreError, match="bad name"):
        place.connection.attempt(refuse)


def test_insist_retries_permanent_errors(place: Place) -> None:
    errors = [StoreError("over quota")] * 3

    def refuse(_: ObjectStore) -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert place.connection.insist(refuse) == "done"
    assert "over quota" in place.output.getvalue()


def test_new_credentials_are_used_immediately(place: Place) -> None:
    seen: list[str] = []

    def request(store: ObjectStore) -> None:
        seen.append(store.config.access_key)
        if store.config.access_key == "first-key":
            place.credentials("second")
            raise StoreDenied("expired")

    place.connection.attempt(request)
    assert seen == ["first-key", "second-key"]


def test_waits_for_credentials(place: Place) -> None:
    place.path.unlink()
    timer = threading.Timer(0.05, place.credentials, ["late"])
    timer.start()
    assert place.connection.attempt(lambda store: store.config.access_key) == "late-key"
    assert "no store credentials at" in place.output.getvalue()


def test_broken_credentials_are_not_quoted(place: Place) -> None:
    place.path.write_text('{"secret_key": "x-secret"')
    threading.Timer(0.05, place.credentials, ["good"]).start()
    assert place.connection.attempt(lambda store: store.config.access_key) == "good-key"
    assert "not credentials as Assay writes them" in place.output.getvalue()


def test_retrying_stops_at_the_deadline(place: Place) -> None:
    def request(_: ObjectStore) -> None:
        raise StoreUnavailable("down")

    began = time.monotonic()
    place.connection.end_at(began + 0.05)
    place.ending.set()
    with pytest.raises(GaveUp, match="down"):
        place.connection.attempt(request)
    assert time.monotonic() - began < 5


def test_a_denied_request_does_not_block_the_others(place: Place) -> None:
    def denied(_: ObjectStore) -> None:
        place.connection.attempt(lambda store: None)  # meanwhile others succeed
        raise StoreDenied("not this key")

    with pytest.raises(StoreDenied, match="not this key"):
        place.connection.attempt(denied)
