"""Which state of each object was seen last: answers and watch events come in any order, and late ones tell nothing."""

from assay.api.objects import Raw

#: A write that was under way when its object was deleted is answered within seconds: far fewer would do.
_TOMBSTONES = 10_000


class SeenVersions:
    """The newest resourceVersion of each object by UID, and which objects are gone."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        #: UIDs of objects that are gone, newest last: the answer to a late write must not bring one back.
        self._gone: dict[str, None] = {}

    def is_news(self, body: Raw) -> bool:
        """Whether an object is not gone, and this is not known of it already; from then on it is."""
        uid, version = body["metadata"]["uid"], body["metadata"].get("resourceVersion", "")
        known = self._versions.get(uid, "")
        if uid in self._gone or (known and version == known) or _older(version, known):
            return False
        self._versions[uid] = version
        return True

    def forget(self, uid: str) -> None:
        """Make sure that no late answer brings an object back."""
        self._versions.pop(uid, None)
        self._gone[uid] = None
        if len(self._gone) > _TOMBSTONES:
            del self._gone[next(iter(self._gone))]


def _older(version: str, known: str) -> bool:
    """Whether a resourceVersion is older than the one that is known.

    They are comparable integers since Kubernetes 1.35; where they are not, everything is taken as it comes.
    """
    return version.isdigit() and known.isdigit() and int(version) < int(known)
