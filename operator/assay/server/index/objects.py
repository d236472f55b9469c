"""Experiments, versions and aliases from memory: lists of whole objects, which overviews are made of.

There are few of them beside the runs, so they are kept as texts and not as columns. What decides something is read from
the API server instead: see ``Access.objects``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from pydantic_core import from_json, to_json

from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, MODEL_ALIASES, MODEL_VERSIONS, Resource
from assay.kube.sync import Kube
from assay.server.freshness import Freshness
from assay.server.index.watched import STALE_SECONDS, Kind, Watched
from assay.server.person import Person
from assay.server.rights import Rights

#: What is indexed besides runs. Policies are few, and only decisions read them.
KINDS: Final = (EXPERIMENTS, MODEL_VERSIONS, MODEL_ALIASES)
#: How long an answer waits for the index to include a write, which takes milliseconds. Then the API server answers.
PATIENCE_SECONDS: Final = 0.2
_MODEL: Final = "spec.model="


class Objects:
    """The objects of one kind in one namespace, by name: resource version, model, and the object as JSON."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, rows: Sequence[tuple[int, Raw]]) -> None:
        """Add or replace objects, each with its resource version."""
        for version, body in rows:
            model = (body.get("spec") or {}).get("model") or ""
            self._kept[body["metadata"]["name"]] = version, model, to_json(body)

    def remove(self, name: str) -> None:
        """Remove an object, if there is one."""
        self._kept.pop(name, None)

    def version(self, name: str) -> int | None:
        """Return the resource version of an object, None if there is none."""
        found = self._kept.get(name)
        return found[0] if found else None

    def versions(self) -> dict[str, int]:
        """Return the resource version of each object by name."""
        return {name: kept[0] for name, kept in self._kept.items()}

    def settle(self) -> None:
        """Do nothing: texts take little memory."""

    def texts(self, model: str = "") -> list[bytes]:
        """Return objects as JSON, sorted by name as the API server sorts them; with ``model`` only those of one."""
        names = sorted(name for name, kept in self._kept.items() if model in ("", kept[1]))
        return [self._kept[name][2] for name in names]


def _kept(body: Raw) -> Raw:
    """Return an object without what only the API server uses, a third of it."""
    return {**body, "metadata": {key: each for key, each in body["metadata"].items() if key != "managedFields"}}


class ObjectFeed(Watched[Objects]):
    """The objects of one kind in one namespace, or in all if it is ""."""

    def __init__(self, kube: Kube, resource: Resource, namespace: str = "", stale: float = STALE_SECONDS) -> None:
        super().__init__(kube, Kind(resource, _kept, Objects), namespace, stale)


FeedOf: TypeAlias = Callable[[str], ObjectFeed | None]


class ObjectsOfIndex:
    """Answers from the feed of a kind; without one that is complete and current, from the API server."""

    def __init__(self, feeds: Mapping[Resource, FeedOf], rights: Rights) -> None:
        self._feeds, self._rights = feeds, rights

    def listed(self, person: Person, resource: Resource, fields: str) -> Iterable[Raw]:
        """Return the objects of the person's namespace, as fresh as they ask for. Raises ApiError."""
        found = self._from_memory(person, resource, fields)
        if found is None:
            person.read({"source": "apiserver", "asOf": "", "age": 0.0})
            return person.kube.list(resource, person.namespace, fields=fields)
        return (from_json(text) for text in found)

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Wait a moment until the index includes a resource version of a kind."""
        feed_of = self._feeds.get(resource)
        feed = feed_of(namespace) if feed_of else None
        if feed is not None:
            feed.reach(version)

    def _from_memory(self, person: Person, resource: Resource, fields: str) -> list[bytes] | None:
        """Return objects as JSON; None if the API server has to answer, which then checks the rights itself."""
        feed_of = self._feeds.get(resource)
        model = fields.removeprefix(_MODEL) if fields.startswith(_MODEL) else ""
        if feed_of is None or person.fresh == "now" or (fields and not model):
            return None
        self._rights.require_list(person, resource)
        feed = feed_of(person.namespace)
        if feed is None or feed.trouble or not self._includes(feed, person.fresh):
            return None
        with feed.reading(person.namespace) as table:
            freshness: Freshness = {"source": "index", "asOf": str(feed.version), "age": round(feed.age, 3)}
            found = table.texts(model)
        person.read(freshness)
        return found

    def _includes(self, feed: ObjectFeed, fresh: str) -> bool:
        # In a quiet namespace no event of this kind is as new as a write to another kind.
        return fresh == "live" or feed.wait(int(fresh), PATIENCE_SECONDS)
