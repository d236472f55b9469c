"""Archived runs that are kept, while runs leave the cluster, and for people whose keys read less."""

import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from assay.api.errors import ObjectNotFound
from assay.kube.sync import Kube
from assay.server.index.feed import Feed
from assay.server.index.runs import RunsOfIndex
from assay.server.person import Person
from assay.server.rights import Rights
from assay.store import layout
from assay.store.client import ObjectInfo, ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import NotFound, StoreDenied
from tests.unit.server.test_everywhere import asked

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


class Keys:
    """One person's keys of a store in memory. Without ``reading`` they only list, and a missing key is still 404."""

    config = StoreConfig("https://s3.example.com")

    def __init__(self, objects: dict[str, bytes], *, reading: bool = True) -> None:
        self._objects, self._reading = objects, reading

    def folders(self, prefix: str, after: str = "") -> Iterator[str]:
        below = (key.removeprefix(prefix) for key in self._objects if key.startswith(prefix))
        yield from sorted({path.partition("/")[0] for path in below if "/" in path})

    def files(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self._objects):
            if key.startswith(prefix) and "/" not in key.removeprefix(prefix):
                yield ObjectInfo(key, len(self._objects[key]))

    def stat(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get_bytes(key, 0)))

    def get_bytes(self, key: str, limit: int) -> bytes:
        if key not in self._objects:
            raise NotFound(key)
        if not self._reading:
            raise StoreDenied("Access Denied")
        return self._objects[key]


class Allowing:
    """Plays the API server: everybody may list everything."""

    def can(self, *_: str) -> bool:
        return True

    def stream(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(b'{"items": []}')


class Reader(Person):
    """A person with keys."""

    keys: Keys

    @property
    def store(self) -> ObjectStore:
        return cast(ObjectStore, self.keys)


def body(name: str, version: int) -> Raw:
    metadata = {"namespace": "ml", "name": name, "uid": f"u-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}


class Team:
    """The runs of a namespace, in the cluster and in the store, as indexes of two feeds answer."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.version = 1
        self.feeds = [Feed(cast(Kube, Allowing())) for _ in range(2)]
        for feed in self.feeds:
            feed._finish(set(), 1)
        self.used = self.feeds[0]
        self._runs = RunsOfIndex(lambda _: self.used if self.used.synced else None, Rights())

    def tell(self, kind: str, *names: str) -> None:
        """Send events to the feed that is used."""
        for name in names:
            self.version += 1
            self.used._apply({"type": kind, "object": body(name, self.version)})

    def record(self, name: str, *, closed: bool = True) -> None:
        run = body(name, self.version)
        prefix = layout.prefix_of(run)
        self.objects[f"{prefix}/{layout.RUN}"] = b"{}"
        if closed:
            self.objects[f"{prefix}/{layout.MANIFEST}"] = b"{}"
            archived = {"archived": "2026-01-02T00:00:00Z", "run": run}
            self.objects[f"{prefix}/{layout.ARCHIVED}"] = json.dumps(archived).encode()

    def names(self, experiment: str = "", *, reading: bool = True) -> list[str]:
        """Return what a person sees of the cluster and the archive."""
        person = Reader(client=cast(Kube, Allowing()), key="k", namespace_option="ml")
        person.keys = Keys(self.objects, reading=reading)
        found = self._runs.find(person, {**asked(sort="name"), "experiment": experiment, "archived": True})
        return [row["name"] for row in found["items"]]


@pytest.fixture
def team() -> Team:
    return Team()


def test_the_last_run_of_a_namespace_leaves_the_cluster(team: Team) -> None:
    """Retention ends like this, and the archive is then all that people have."""
    team.tell("ADDED", "a", "b")
    team.record("a")
    team.tell("DELETED", "a")
    assert team.names() == ["a", "b"]
    team.record("b")
    team.tell("DELETED", "b")
    assert team.names() == ["a", "b"]


def test_another_feed_answers_for_the_namespace(team: Team) -> None:
    """In `assay ui`, that of all namespaces takes over as soon as somebody looks at all of them."""
    team.tell("ADDED", "a", "b")
    team.record("a")
    team.tell("DELETED", "a")
    assert team.names() == ["a", "b"]
    team.used = team.feeds[1]
    team.tell("ADDED", "b")
    assert team.names() == ["a", "b"]


def test_keys_that_only_list_get_nothing_from_memory(team: Team) -> None:
    """That a record is missing is no secret to them, so it does not prove that they may read the others."""
    team.tell("ADDED", "a-running")
    team.record("a-running", closed=False)
    team.record("b")
    assert team.names() == ["a-running", "b"]
    with pytest.raises(StoreDenied):
        team.names(reading=False)


@pytest.mark.parametrize("name", ["Digits", "_", "a b", "../other", "a/b", "é", "\0"])
@pytest.mark.parametrize("indexed", [True, False])
def test_what_no_experiment_is_called_is_not_found(team: Team, name: str, indexed: bool) -> None:
    team.tell("ADDED", "a")
    team.used.synced = indexed
    with pytest.raises(ObjectNotFound, match="has no experiment"):
        team.names(name)
