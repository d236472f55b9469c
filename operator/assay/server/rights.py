"""Whether the user may see what the index answers: the API server says so for each namespace, with the user's token.

Answers are kept for at most ten seconds, under a hash of the credentials.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from assay.api import names, resources
from assay.api.errors import ObjectNotFound
from assay.api.resources import Resource
from assay.server.person import Person

KEPT_SECONDS: Final = 10.0
_MOST: Final = 10_000
#: Reviews at the same time.
_REVIEWERS: Final = 8


class Rights:
    """The API server's answers about the rights of people."""

    def __init__(self, kept: float = KEPT_SECONDS) -> None:
        """Keep answers for ``kept`` seconds, at most KEPT_SECONDS."""
        self._kept = min(kept, KEPT_SECONDS)
        self._known: dict[tuple[str, str, str], tuple[float, bool]] = {}
        self._lock = threading.Lock()

    def require_list(self, person: Person, resource: Resource) -> None:
        """Raise ApiError unless the person may list a kind in their namespace, with the API server's own reason."""
        namespace, plural = person.namespace, resource[1]
        try:
            path = resources.path(resource, namespace)
        except ValueError as error:
            raise ObjectNotFound(str(error)) from None
        if not self._can_list(person, plural, namespace):
            # The API server itself refuses, in its own words. If it allows the request now, that counts.
            person.kube.request("GET", path, query={"limit": "1"})

    def listable(self, person: Person, resource: Resource, namespaces: Sequence[str]) -> list[str] | None:
        """Return those of some namespaces in which the person may list a kind; None if they may do so everywhere.

        Raises ApiError, with the API server's own reason, if there is no such namespace.
        """
        plural = resource[1]
        if self._can_list(person, plural, ""):
            return None
        with ThreadPoolExecutor(_REVIEWERS) as reviewers:
            allowed = list(reviewers.map(lambda namespace: self._can_list(person, plural, namespace), namespaces))
        found = [namespace for namespace, can in zip(namespaces, allowed, strict=True) if can]
        if not found:
            person.kube.request("GET", resources.path(resource, ""), query={"limit": "1"})
            return None
        return found

    def _can_list(self, person: Person, plural: str, namespace: str) -> bool:
        key = (person.key, namespace, plural)
        now = time.monotonic()
        with self._lock:
            until, allowed = self._known.get(key, (0.0, False))
        if until <= now:
            allowed = person.kube.can("list", names.GROUP, plural, namespace)
            with self._lock:
                if len(self._known) >= _MOST:
                    self._known = {kept: found for kept, found in self._known.items() if found[0] > now}
                self._known[key] = (now + self._kept, allowed)
        return allowed
