"""The user behind a request. Every read and write of a request uses the user's own credentials."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from starlette.requests import HTTPConnection

from assay.api.errors import AssayError, PermissionDenied
from assay.api.objects import Raw
from assay.api.resources import Resource
from assay.kube.sync import Kube
from assay.queries import store_access
from assay.queries.access import Access
from assay.queries.store_access import StoreAddress
from assay.server.freshness import LIVE, Freshness, of_all


class NotSignedIn(AssayError):
    """The request has no credentials, or they are malformed."""


class Lists(Protocol):
    """Objects in memory."""

    def listed(self, person: Person, resource: Resource, fields: str) -> Iterable[Raw]:
        """Return the objects of the person's namespace, as fresh as they ask for. Raises ApiError."""

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Wait a moment until answers include a resource version of a kind that is in memory."""


@dataclass
class Person(Access):
    """One user in one namespace, for one request.

    ``key`` identifies the user's credentials in caches: a hash, so that no cache holds a token. ``stores`` are the
    endpoints that the server may connect to, any if empty. ``sign_out`` is the address that ends the session, "" if
    there is none. ``notes`` collects what the answer should mention.

    ``lists`` has objects in memory, for answers as current as ``fresh`` says.
    """

    client: Kube = field(kw_only=True)
    key: str = field(kw_only=True)
    own_machine: bool = field(default=False, kw_only=True)
    stores: frozenset[str] = field(default=frozenset(), kw_only=True)
    sign_out: str = field(default="", kw_only=True)
    notes: list[str] = field(default_factory=list, kw_only=True)
    lists: Lists | None = field(default=None, kw_only=True)
    fresh: str = field(default=LIVE, kw_only=True)
    _read: list[Freshness] = field(default_factory=list, init=False, repr=False, compare=False)

    @cached_property
    def kube(self) -> Kube:
        """The API server, as the user."""
        return self.client

    def within(self, namespace: str) -> Person:
        """Return the same user in a namespace, with its own notes."""
        return replace(self, namespace_option=namespace, notes=[])

    def directly(self) -> Person:
        """Return the same user, who reads from the API server only: after a write of their own, or to decide."""
        return replace(self, lists=None)

    def objects(self, resource: Resource, fields: str = "") -> Iterable[Raw]:
        """Return the objects of a kind in the namespace, from memory where the server has them. Raises ApiError."""
        return super().objects(resource, fields) if self.lists is None else self.lists.listed(self, resource, fields)

    def read(self, freshness: Freshness) -> None:
        """Collect how current a part of the answer is."""
        self._read.append(freshness)

    @property
    def freshness(self) -> Freshness:
        """How current the objects are that were read."""
        return of_all(self._read)

    def note(self, text: str) -> None:
        """Collect a note for the answer."""
        self.notes.append(text)

    def _find_store(self) -> StoreAddress:
        found = store_access.of_namespace(self.kube, self.namespace, own_machine=self.own_machine)
        # Whoever writes the Secret would otherwise choose what this server connects to.
        if self.stores and found.config.endpoint not in self.stores:
            raise PermissionDenied(
                f"the Secret with store keys in namespace {self.namespace} names the store {found.config.endpoint}, "
                "which this server may not connect to",
                hint="the platform team lists allowed stores in server.stores of the chart",
            )
        return found


def key_of(credentials: str) -> str:
    """Return the cache key of credentials. It is useless outside this process."""
    return hashlib.blake2b(credentials.encode(), key=_PEPPER, digest_size=16).hexdigest()


def person_of(connection: HTTPConnection) -> Person:
    """Return the user of a request that passed the entrance. Raises NotSignedIn."""
    found = connection.scope.get("assay.person")
    if not isinstance(found, Person):
        raise NotSignedIn("this page needs a signed-in user")
    return replace(found, lists=connection.app.state.shared.lists)


_PEPPER = secrets.token_bytes(32)
