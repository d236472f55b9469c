"""The user behind a request. Every read and write of a request uses the user's own credentials."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property

from starlette.requests import HTTPConnection

from assay.api.errors import AssayError, PermissionDenied
from assay.kube.sync import Kube
from assay.queries import store_access
from assay.queries.access import Access
from assay.queries.store_access import StoreAddress


class NotSignedIn(AssayError):
    """The request has no credentials, or they are malformed."""


@dataclass
class Person(Access):
    """One user in one namespace, for one request.

    ``key`` identifies the user's credentials in caches: a hash, so that no cache holds a token. ``stores`` are the
    endpoints that the server may connect to, any if empty. ``sign_out`` is the address that ends the session, "" if
    there is none. ``notes`` collects what the answer should mention.
    """

    client: Kube = field(kw_only=True)
    key: str = field(kw_only=True)
    own_machine: bool = field(default=False, kw_only=True)
    stores: frozenset[str] = field(default=frozenset(), kw_only=True)
    sign_out: str = field(default="", kw_only=True)
    notes: list[str] = field(default_factory=list, kw_only=True)

    @cached_property
    def kube(self) -> Kube:
        """The API server, as the user."""
        return self.client

    def within(self, namespace: str) -> Person:
        """Return the same user in a namespace, with its own notes."""
        return replace(self, namespace_option=namespace, notes=[])

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
    return found


_PEPPER = secrets.token_bytes(32)
