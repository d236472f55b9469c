"""The newest version seen of each object, to discard responses and watch events that arrive out of order."""

from assay.api.objects import Raw

#: Far more than needed: the response to a write that was in flight during a deletion arrives within seconds.
_TOMBSTONES = 10_000


class SeenVersions:
    """The newest resourceVersion of each object by UID, and the deleted objects."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        #: UIDs of deleted objects, newest last. A late response must not restore one.
        self._gone: dict[str, None] = {}

    def is_news(self, body: Raw) -> bool:
        """Whether this version of an object is new and the object not deleted; records the version."""
        uid, version = body["metadata"]["uid"], body["metadata"].get("resourceVersion", "")
        known = self._versions.get(uid, "")
        if uid in self._gone or (known and version == known) or _older(version, known):
            return False
        self._versions[uid] = version
        return True

    def forget(self, uid: str) -> None:
        """Mark an object as deleted, so that a late response does not restore it."""
        self._versions.pop(uid, None)
        self._gone[uid] = None
        if len(self._gone) > _TOMBSTONES:
            del self._gone[next(iter(self._gone))]


def _older(version: str, known: str) -> bool:
    """Whether a resourceVersion is older than the known one.

    Resource versions are comparable integers since Kubernetes 1.35. If they are not integers, nothing counts as older.
    """
    return version.isdigit() and known.isdigit() and int(version) < int(known)
