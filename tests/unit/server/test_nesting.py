"""Objects that are nested deeply, as anybody may write them: the index holds them like all others."""

import io
import json
import threading
from typing import Any, cast

import pytest

from assay.api.resources import EXPERIMENTS
from assay.kube.sync import Kube
from assay.server.index.feed import Feed
from assay.server.index.objects import ObjectFeed, ObjectsOfIndex
from assay.server.index.watched import Watched
from assay.server.person import Person
from assay.server.rights import Rights
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.unit


class Api:
    """Plays the API server: lists one object with a parameter that is nested, and sends no events."""

    namespace = "team"

    def __init__(self, depth: int) -> None:
        self.depth, self.lists = depth, 0
        self.ended = threading.Event()

    def can(self, *_: str) -> bool:
        return True

    def stream(self, *_: Any, query: dict[str, str], **__: Any) -> io.BytesIO:
        if "watch" in query:
            self.ended.wait()
        self.lists += 1
        metadata = {"namespace": "team", "name": "e", "uid": "u", "resourceVersion": "3"}
        nested = "[" * self.depth + "]" * self.depth
        text = json.dumps({"metadata": metadata, "spec": {"parameters": {"a": "nested"}}}).replace('"nested"', nested)
        return io.BytesIO(b'{"metadata": {"resourceVersion": "9"}, "items": [%s]}' % text.encode())


@pytest.mark.parametrize("depth", [1, 230, 300, 900])
def test_a_list_has_objects_that_are_nested_deeply(depth: int) -> None:
    feed = ObjectFeed(cast(Kube, Api(depth)), EXPERIMENTS)
    feed._list()
    lists = ObjectsOfIndex({EXPERIMENTS: lambda _: feed}, Rights())
    (found,) = lists.listed(Person(client=cast(Kube, Api(0)), key="k"), EXPERIMENTS, "")
    assert json.dumps(found["spec"]["parameters"]["a"]).count("[") == depth


@pytest.mark.parametrize("kind", ["runs", "experiments"])
def test_the_index_comes_back_after_an_object_that_nobody_can_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.server.index.watched._FIRST_PAUSE", 0.01)
    api = Api(200_000)
    kube = cast(Kube, api)
    feed: Watched[Any] = Feed(kube) if kind == "runs" else ObjectFeed(kube, EXPERIMENTS)
    feed.start()
    try:
        wait_for("the list to fail", lambda: "recursion" in feed.problem, seconds=10, saw=lambda: feed.problem)
        api.depth = 1
        wait_for("the index to be complete", lambda: feed.synced, seconds=10, saw=lambda: feed.problem)
    finally:
        api.ended.set()
        feed.stop()


def test_what_fails_again_and_again_is_tried_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    api = Api(200_000)
    feed = ObjectFeed(cast(Kube, api), EXPERIMENTS)

    def pause(_: str, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            feed.stop()

    monkeypatch.setattr(feed, "_pause", pause)
    feed._read()
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
