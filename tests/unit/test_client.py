"""The functions for notebooks: what they raise, and which times they can show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import pandas
import pytest

from assay import client
from assay.queries.access import Access
from assay.queries.curves import reading
from assay.queries.curves.reading import Curve
from assay.queries.runs import selecting
from assay.store.errors import NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable

pytestmark = pytest.mark.unit

RUN = {"metadata": {"name": "digits-1"}, "spec": {"objective": {"metric": "loss"}}, "status": {}}


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "selected", lambda *_: [RUN])
    monkeypatch.setattr(Access, "store", None)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("down"),
        StoreDenied("expired"),
        NotFound("no bucket"),
        StoreError("bad"),
        RecordError("cut off"),
    ],
)
def test_errors_of_the_store_are_errors_of_assay(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    @contextmanager
    def failing(*_: Any) -> Iterator[None]:
        raise error
        yield

    monkeypatch.setattr(reading, "points_of", failing)
    with pytest.raises(client.AssayError, match=str(error)):
        client.curves(["digits-1"])


def test_a_time_that_pandas_cannot_show_is_not_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Points:
        def curve(self, metric: str) -> Curve:
            # An MLflow client that passed nanoseconds as milliseconds.
            time = numpy.array([1.7e9, 1.7e15])
            steps = numpy.array([0.0, 1.0])
            return Curve("digits-1", {}, metric, "pod", steps, steps, time, numpy.array([0.5, 0.25]))

    @contextmanager
    def points_of(*_: Any) -> Iterator[Points]:
        yield Points()

    monkeypatch.setattr(reading, "points_of", points_of)
    found = client.curves(["digits-1"])
    assert list(found["value"]) == [0.5, 0.25]
    assert found["time"][0] == pandas.Timestamp(1.7e9, unit="s", tz="UTC")
    assert found["time"][1] is pandas.NaT
