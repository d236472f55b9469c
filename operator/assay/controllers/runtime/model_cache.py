"""The cache of watched registry objects: versions, aliases, policies, and workloads that follow an alias.

The other cache is ``tracking_cache``. No decision relies on this cache alone: before an alias moves, the operator
reads the objects again from the API server.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from assay.api import names
from assay.api.modelalias import ModelAliasStatus
from assay.api.objects import Raw
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.seen_versions import SeenVersions
from assay.controllers.runtime.tracking_cache import Place, place
from assay.planning.promotion.pointers import History
from assay.planning.serving.injection import CannotServe, follows

DEPLOYMENT, STATEFUL_SET = "Deployment", "StatefulSet"
WORKLOADS = (DEPLOYMENT, STATEFUL_SET)
_HISTORIES = 1000
#: As in the API. Users can write any annotation, and Python refuses to parse a number with thousands of digits.
_VERSION = re.compile("[1-9][0-9]{0,8}")


def key_of(body: Raw) -> Key:
    """Return an object's key in the work queue."""
    return Key(body["kind"], *place(body))


def alias_place(namespace: str, model: str, alias: str) -> Place:
    """Return the place of the ModelAlias."""
    return namespace, f"{model}.{alias}"


def version_place(namespace: str, model: str, version: int) -> Place:
    """Return the place of the ModelVersion."""
    return namespace, f"{model}.v{version}"


def asks_for(workload: Raw) -> tuple[str, str] | None:
    """Return the (model, alias) that a workload follows; None when it follows none or its annotation is invalid."""
    try:
        return follows(workload)
    except CannotServe:
        return None


def carries(workload: Raw) -> tuple[str, int] | None:
    """Return the (model, version) in the annotations of a workload's pod template; None when Assay has set none."""
    marks = (workload["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    model, version = marks.get(f"{names.SERVED_PREFIX}model"), marks.get(f"{names.SERVED_PREFIX}version", "")
    return (model, int(version)) if model and _VERSION.fullmatch(version) else None


class KnownNamespace(NamedTuple):
    """What the operator remembers of a namespace."""

    uid: str = ""
    #: Its relevant annotations.
    annotations: Mapping[str, str] = {}


def concerns(workload: Raw) -> bool:
    """Whether a workload is relevant: it asks to be served, or its template still has a served version."""
    asked = names.ANNOTATION_SERVE in (workload["metadata"].get("annotations") or {})
    return asked or carries(workload) is not None


class ModelCache:
    """Objects by kind and place. Every method is cheap and synchronous; there is one event loop."""

    def __init__(self) -> None:
        self._seen = SeenVersions()
        kinds = (names.MODEL_VERSION, names.MODEL_ALIAS, names.PROMOTION_POLICY, *WORKLOADS)
        self._objects: dict[str, dict[Place, Raw]] = {kind: {} for kind in kinds}
        self._policies = self._objects.setdefault(names.PROMOTION_POLICY, {})
        #: The namespaces that exist, by name.
        self.namespaces: dict[str, KnownNamespace] = {}
        #: Deleted versions and policies by UID, until the deletion is recorded.
        self.deleted: dict[str, Raw] = {}
        #: The histories of deleted aliases, newest last, which versions may not have processed yet.
        self._histories: dict[str, tuple[str, str, History]] = {}

    def upsert(self, body: Raw) -> bool:
        """Store the current state of an object. Return False when nothing changed or the object is irrelevant."""
        if not self._seen.is_news(body):
            return False
        known = self._objects[body["kind"]]
        if body["kind"] in WORKLOADS and not concerns(body):
            return known.pop(place(body), None) is not None
        known[place(body)] = body
        return True

    def forget(self, body: Raw) -> None:
        """Remove a deleted object."""
        self._seen.forget(body["metadata"]["uid"])
        known = self._objects[body["kind"]].get(place(body))
        if known and known["metadata"]["uid"] == body["metadata"]["uid"]:
            del self._objects[body["kind"]][place(body)]

    def known(self, kind: str) -> dict[str, Raw]:
        """Return all objects of a kind by UID."""
        return {body["metadata"]["uid"]: body for body in self._objects[kind].values()}

    def get(self, key: Key) -> Raw | None:
        """Return an object; None when it does not exist."""
        return self._objects[key.kind].get((key.namespace, key.name))

    def exists(self, body: Raw) -> bool:
        """Whether an object still exists; a new object with its name does not count."""
        found = self.get(key_of(body))
        return found is not None and bool(found["metadata"]["uid"] == body["metadata"]["uid"])

    def remember(self, alias: Raw, at: datetime) -> None:
        """Retain the history of an alias that was deleted at a time."""
        status = ModelAliasStatus.model_validate(alias.get("status") or {})
        ended = [each if each.to else each.model_copy(update={"to": max(at, each.from_)}) for each in status.history]
        metadata, spec = alias["metadata"], alias["spec"]
        self._histories[metadata["uid"]] = metadata["namespace"], spec["model"], History(spec["alias"], ended)
        if len(self._histories) > _HISTORIES:
            del self._histories[next(iter(self._histories))]

    def histories_of(self, namespace: str, model: str) -> list[History]:
        """Return the histories of a model's recently deleted aliases."""
        return [history for where, what, history in self._histories.values() if (where, what) == (namespace, model)]

    @property
    def versions(self) -> dict[Place, Raw]:
        """All ModelVersions."""
        return self._objects[names.MODEL_VERSION]

    @property
    def aliases(self) -> dict[Place, Raw]:
        """All ModelAliases."""
        return self._objects[names.MODEL_ALIAS]

    def aliases_of(self, namespace: str, model: str = "") -> list[Raw]:
        """Return the aliases of a model, or of all models of a namespace."""
        return [
            body
            for (where, _), body in self.aliases.items()
            if where == namespace and model in ("", body["spec"]["model"])
        ]

    def policies_of(self, namespace: str) -> list[Raw]:
        """Return the PromotionPolicies of a namespace."""
        return [body for (where, _), body in self._policies.items() if where == namespace]

    def versions_of(self, namespace: str, model: str) -> list[Raw]:
        """Return the versions of a model."""
        return [
            body for (where, _), body in self.versions.items() if where == namespace and body["spec"]["model"] == model
        ]

    def version_of_run(self, namespace: str, model: str, run_uid: str) -> Raw | None:
        """Return the version of a model that a run produced; if there are several, the one with the lowest number."""
        found = [
            body for body in self.versions_of(namespace, model) if (body["spec"].get("run") or {}).get("uid") == run_uid
        ]
        return min(found, key=lambda body: int(body["spec"]["version"]), default=None)

    def highest(self, namespace: str, model: str) -> int:
        """Return the highest version number of a model, 0 when it has no version."""
        return max((int(body["spec"]["version"]) for body in self.versions_of(namespace, model)), default=0)

    def workloads(self) -> Iterator[Raw]:
        """Yield the workloads that follow an alias or still have a served version."""
        for kind in WORKLOADS:
            yield from self._objects[kind].values()

    def followers(self, namespace: str, model: str, alias: str) -> list[Raw]:
        """Return the workloads that follow an alias, sorted by kind and name."""
        found = [
            body
            for body in self.workloads()
            if body["metadata"]["namespace"] == namespace and asks_for(body) == (model, alias)
        ]
        return sorted(found, key=lambda body: (body["kind"], body["metadata"]["name"]))

    def serves(self, namespace: str, model: str, version: int) -> bool:
        """Whether pods may need a version's bytes: a workload's template has it, or it follows an alias on it."""
        return any(
            body["metadata"]["namespace"] == namespace and self._needs(body, model, version)
            for body in self.workloads()
        )

    def _needs(self, workload: Raw, model: str, version: int) -> bool:
        if carries(workload) == (model, version):
            return True
        asked = asks_for(workload)
        if asked is None or asked[0] != model:
            return False
        alias = self.aliases.get(alias_place(workload["metadata"]["namespace"], *asked))
        return bool(alias and (alias.get("status") or {}).get("boundVersion") == version)
