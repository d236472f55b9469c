"""Watches: what ends one, and what only interrupts it."""

from typing import Any, cast

import pytest

from assay.api.errors import AssayError, PermissionDenied
from assay.api.resources import RUNS
from assay.kube import watches
from assay.kube.errors import ApiError
from assay.kube.sync import Kube
from assay.kube.watches import Change, Watch, changes

pytestmark = pytest.mark.unit

LISTED = {"metadata": {"resourceVersion": "1"}, "items": []}


class Cluster:
    """Answers lists one after another, and watches with an empty stream."""

    def __init__(self, *lists: dict[str, Any] | Exception) -> None:
        self._lists = list(lists)

    def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        found = self._lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def stream(self, *_: Any, **__: Any) -> Any:
        raise ApiError(410, "Gone", "too old resource version")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "_FIRST_PAUSE", 0.001)


def test_credentials_that_cannot_be_renewed_end_a_watch_with_their_message() -> None:
    cluster = Cluster(LISTED, PermissionDenied("the credential plugin failed: your session has expired"))
    found = changes(cast(Kube, cluster), Watch(RUNS, "ns"), tick=5)
    assert next(found) == Change(RUNS, "SYNC", [])
    with pytest.raises(AssayError, match="your session has expired"):
        assert next(found) is not None, "the watch ended without an error"
