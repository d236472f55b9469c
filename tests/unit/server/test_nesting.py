"""Objects that are nested deeply, as anybody may write them: the index holds them like all others."""

import io
import json
from typing import Any, cast

import pytest

from assay.api.resources import EXPERIMENTS
from assay.kube.shallow import MAX_LEVELS
from assay.kube.sync import Kube
from assay.server.index.objects import ObjectFeed, ObjectsOfIndex
from assay.server.person import Person
from assay.server.rights import Rights

pytestmark = pytest.mark.unit


class Api:
    """Plays the API server: lists one object with a parameter that is nested."""

    namespace = "team"

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def can(self, *_: str) -> bool:
        return True

    def stream(self, *_: Any, **__: Any) -> io.BytesIO:
        metadata = {"namespace": "team", "name": "e", "uid": "u", "resourceVersion": "3"}
        nested = "[" * self.depth + "]" * self.depth
        text = json.dumps({"metadata": metadata, "spec": {"parameters": {"a": "nested"}}}).replace('"nested"', nested)
        return io.BytesIO(b'{"metadata": {"resourceVersion": "9"}, "items": [%s]}' % text.encode())


@pytest.mark.parametrize("depth", [1, 80, 230, 300, 900, 200_000])
def test_an_object_that_is_nested_deeply_is_in_the_index_like_all_others(depth: int) -> None:
    feed = ObjectFeed(cast(Kube, Api(depth)), EXPERIMENTS)
    feed._list()
    lists = ObjectsOfIndex({EXPERIMENTS: lambda _: feed}, Rights())
    (found,) = lists.listed(Person(client=cast(Kube, Api(0)), key="k"), EXPERIMENTS, "")
    assert found["metadata"]["name"] == "e"
    assert json.dumps(found["spec"]["parameters"]["a"]).count("[") == min(depth, MAX_LEVELS - 5)


def test_what_fails_again_and_again_is_tried_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    api = Api(1)
    monkeypatch.setattr(api, "stream", lambda *_, **__: io.BytesIO(b"no list"))
    feed = ObjectFeed(cast(Kube, api), EXPERIMENTS)

    def pause(_: str, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            feed.stop()

    monkeypatch.setattr(feed, "_pause", pause)
    feed._read()
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
