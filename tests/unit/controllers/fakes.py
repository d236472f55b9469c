"""Fakes of the parts that reconcilers need (`assay.controllers.runtime.parts`), for tests without an API server."""

import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from assay.api.objects import Raw
from assay.api.resources import NAMESPACES, Resource
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.registry_state import RegistryState
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.settings import Settings
from assay.kube.errors import ApiError
from assay.planning.runs.facts import PodFacts
from assay.signing.keys import Keys
from assay.store.audit import EMPTY, Appended, AuditEvent, AuditRecord
from assay.store.client import ObjectStore
from assay.store.layout import LogName

P = ParamSpec("P")
T = TypeVar("T")
Hook = Callable[[], object]

SETTINGS = Settings.from_environment(
    {
        "ASSAY_IMAGE": "assay:1",
        "ASSAY_STORE_ENDPOINT": "http://store:9000",
        "ASSAY_STORE_ACCESS_KEY": "key",
        "ASSAY_STORE_SECRET_KEY": "secret",
        "ASSAY_STORE_BUCKET": "assay",
    }
)


def merged(target: Any, patch: Any) -> Any:
    """Return what a JSON merge patch (RFC 7386) makes of a value."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class FakeApi:
    """Objects in memory, with resourceVersion, generation and UID as the API server keeps and checks them.

    ``journal`` has every write in its order, ``refusals`` the error of the next write of a verb and plural. A hook in
    ``before`` runs in front of the next such request, as somebody else who is quicker.
    """

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.refusals: dict[tuple[str, str], ApiError] = {}
        self.before: dict[tuple[str, str], Hook] = {}
        self._objects: dict[tuple[Resource, str, str], Raw] = {}
        self._version = 1000

    def put(self, resource: Resource, body: Raw) -> Raw:
        """Store an object as it is, as somebody else does; return it."""
        metadata = body["metadata"]
        namespace = "" if resource == NAMESPACES else metadata["namespace"]
        self._objects[resource, namespace, metadata["name"]] = copy.deepcopy(body)
        return body

    def change(self, resource: Resource, namespace: str, name: str, patch: Raw) -> Raw:
        """Change an object, as somebody else does; return it."""
        return self._store(resource, namespace, name, merged(self._objects[resource, namespace, name], patch))

    def all(self, resource: Resource) -> list[Raw]:
        """Return the objects of a kind."""
        return [body for (kind, _, _), body in self._objects.items() if kind == resource]

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object, None if it does not exist."""
        self._admit("get", resource)
        return copy.deepcopy(self._objects.get((resource, namespace, name)))

    async def list(
        self, resource: Resource, namespace: str, selector: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Raw]:
        """Yield the objects of a kind in a namespace. Selectors are not evaluated."""
        self._admit("list", resource)
        for (kind, place, _), body in [*self._objects.items()]:  # somebody may write meanwhile
            if kind == resource and namespace in ("", place):
                yield copy.deepcopy(body)

    async def create(self, resource: Resource, namespace: str, body: Raw, *, strict: bool = False) -> Raw | None:
        """Create an object; None if one with that name exists. With ``strict``, no unknown field is allowed."""
        self._admit("create", resource)
        name = body["metadata"]["name"]
        if (resource, namespace, name) in self._objects:
            return None
        self._write("create", resource, name)
        own = {"namespace": namespace, "uid": f"uid-{resource[1]}-{name}"}
        return self._store(resource, namespace, name, merged(body, {"metadata": own}))

    async def post_part(self, resource: Resource, namespace: str, name: str, part: str, body: Raw) -> Raw:
        """Create a subresource: no reconciler under test does."""
        raise NotImplementedError

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Raw, part: str = ""
    ) -> Raw | None:
        """Patch an object or its subresource, which only changes the field of its name; None without the object."""
        self._admit("patch", resource)
        known = self._objects.get((resource, namespace, name))
        if known is None:
            return None
        for guard in ("resourceVersion", "uid"):
            asked = patch.get("metadata", {}).get(guard)
            if asked is not None and asked != known["metadata"][guard]:
                raise ApiError(409, "Conflict", f"the {guard} is {known['metadata'][guard]}, and not {asked}")
        changes = {part: patch[part]} if part else {key: value for key, value in patch.items() if key != "status"}
        self._write(f"patch {part}".strip(), resource, name)
        return self._store(resource, namespace, name, merged(known, changes))

    async def strategic_patch(self, resource: Resource, namespace: str, name: str, patch: Raw) -> Raw:
        """Patch an object; lists are replaced, and not merged."""
        return await self.merge_patch(resource, namespace, name, patch) or {}

    async def apply(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        """Apply an object: its fields are merged into what is there."""
        self._admit("apply", resource)
        self._write("apply", resource, name)
        return self._store(resource, namespace, name, merged(self._objects.get((resource, namespace, name)), body))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, unless it is gone already or has another UID."""
        self._admit("delete", resource)
        known = self._objects.get((resource, namespace, name))
        if known is not None and uid in ("", known["metadata"]["uid"]):
            self._write("delete", resource, name)
            del self._objects[resource, namespace, name]

    def _admit(self, verb: str, resource: Resource) -> None:
        hook = self.before.pop((verb, resource[1]), None)
        if hook:
            hook()
        error = self.refusals.pop((verb, resource[1]), None)
        if error:
            raise error

    def _write(self, verb: str, resource: Resource, name: str) -> None:
        self.journal.append(f"{verb} {resource[1]} {name}")

    def _store(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        self._version += 1
        stored: Raw = merged(body, {"metadata": {"resourceVersion": str(self._version)}})
        known = self._objects.get((resource, namespace, name))
        if known is not None and known.get("spec") != stored.get("spec"):
            stored["metadata"]["generation"] = known["metadata"].get("generation", 1) + 1
        self._objects[resource, namespace, name] = stored
        return copy.deepcopy(stored)


class FakeEvents:
    """Keeps (reason, message) of what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []

    def post(self, body: Raw, reason: str, message: str, *, warning: bool = False) -> None:
        """Keep an event."""
        self.posted.append((reason, message))

    @property
    def reasons(self) -> list[str]:
        """The reasons in their order."""
        return [reason for reason, _ in self.posted]


class FakeAudit:
    """Keeps what is recorded, also in the journal of the API."""

    def __init__(self, journal: list[str]) -> None:
        self.recorded: list[AuditEvent] = []
        self._journal = journal

    async def record(self, event: AuditEvent) -> Appended:
        """Keep an event."""
        self.recorded.append(event)
        self._journal.append(f"record {event.action}")
        return Appended(AuditRecord.model_construct(), True, EMPTY, "")

    @property
    def actions(self) -> list[str]:
        """The actions in their order."""
        return [event.action for event in self.recorded]


class FakeQueue:
    """Keeps the keys that are added, with their delays."""

    def __init__(self) -> None:
        self.added: dict[Key, list[float]] = defaultdict(list)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Keep a key."""
        self.added[key].append(delay)


class FakeStore:
    """A store that nobody may use, unless the answer of a function is set up by its name.

    A hook in ``before`` runs in front of the next call of the function of that name.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.before: dict[str, Hook] = {}
        self.blocking = ObjectStore(SETTINGS.store)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the answer that was set up."""
        hook = self.before.pop(function.__name__, None)
        if hook:
            hook()
        answer: T = self.answers[function.__name__]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakePods:
    """Pods of runs whose logs are read, on nodes that mount images, and whose usage is unknown."""

    def __init__(self) -> None:
        self.logs = self.nodes = self.usage = self
        self.observe: set[str] = set()
        self.unseen = ""
        self.abandoned: list[str] = []

    def finished(self, run: Raw, pods: Sequence[PodFacts]) -> bool:
        """Whether the logs have been read to their end."""
        return True

    def whole(self, run: Raw) -> frozenset[LogName]:
        """Return no logs."""
        return frozenset()

    def forget(self, run: Raw) -> None:
        """Do nothing."""

    def abandon(self, job_uid: str, problem: str) -> None:
        """Keep the UID."""
        self.abandoned.append(job_uid)

    async def finish(self, run: Raw) -> None:
        """Do nothing."""

    def why_not(self, run: Raw) -> str:
        """Return why there is no usage."""
        return "not measured"


@dataclass
class Parts:
    """Satisfies the protocol of every family of reconcilers under test."""

    journal: list[str] = field(default_factory=list)
    settings: Settings = SETTINGS
    debounce: float = 0.0
    store: FakeStore = field(default_factory=FakeStore)
    tracking: TrackingCache = field(default_factory=TrackingCache)
    models: ModelCache = field(default_factory=ModelCache)
    queue: FakeQueue = field(default_factory=FakeQueue)
    events: FakeEvents = field(default_factory=FakeEvents)
    keys: Keys = field(default_factory=Keys)
    registry: RegistryState = field(default_factory=RegistryState)
    pods: FakePods = field(default_factory=FakePods)

    def __post_init__(self) -> None:
        self.kube = FakeApi(self.journal)
        self.audit = FakeAudit(self.journal)
        self.ingest: Callable[[dict[str, Any]], object] = self.models.upsert

    def know(self, resource: Resource, *bodies: Raw) -> None:
        """Let objects of the registry exist, and be known as a watch shows them."""
        for body in bodies:
            self.models.upsert(self.kube.put(resource, body))
