"""The argument of every query: the user, cluster, namespace and store. Connects lazily."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from assay.api.errors import PermissionDenied

if TYPE_CHECKING:
    from assay.api.objects import Raw
    from assay.api.resources import Resource
    from assay.kube.sync import Kube
    from assay.queries.store_access import StoreAddress
    from assay.store.client import ObjectStore


@dataclass
class Access:
    """One user on one cluster, in one namespace. Connections are made when they are first used."""

    kubeconfig: str = ""
    context: str = ""
    namespace_option: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    _connecting: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    _connected: tuple[StoreAddress, tuple[ObjectStore, ObjectStore]] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def note(self, text: str) -> None:
        """Receive information for the user besides the answer, such as a record that could not be read."""

    @cached_property
    def kube(self) -> Kube:
        """The API server, as the user. Raises AssayError."""
        from assay.kube.sync import Kube

        return Kube(self.kubeconfig, self.context, self.as_user, self.as_groups)

    @cached_property
    def namespace(self) -> str:
        """The requested namespace, otherwise that of the kubeconfig's context."""
        return self.namespace_option or self.kube.namespace

    def objects(self, resource: Resource, fields: str = "") -> Iterable[Raw]:
        """Return the objects of a kind in the namespace, for an overview: a server may have them in memory.

        Decisions are made on what ``kube`` returns. Raises ApiError.
        """
        return self.kube.list(resource, self.namespace, fields=fields)

    @property
    def store(self) -> ObjectStore:
        """The object store, with the user's own keys. Raises AssayError."""
        return self._stores()[0]

    @property
    def trail_store(self) -> ObjectStore:
        """The store of the audit trail, which may be another bucket. Raises AssayError."""
        return self._stores()[1]

    def _stores(self) -> tuple[ObjectStore, ObjectStore]:
        """Connect to both, and again before the keys expire: a command may follow a run for days."""
        from assay.store.client import ObjectStore

        with self._connecting:
            if self._connected is None or self._connected[0].stale:
                found = self._find_store()
                trail = replace(found.config, bucket=found.audit_bucket or found.config.bucket)
                try:
                    self._connected = found, (ObjectStore(found.config), ObjectStore(trail))
                except (ValueError, TypeError, OSError) as error:
                    message = f"the store {found.config.endpoint} cannot be used: {error}"
                    hint = "check its certificates (ca) and its region where its keys come from"
                    raise PermissionDenied(message, hint=hint) from None
            return self._connected[1]

    def _find_store(self) -> StoreAddress:
        from assay.queries import store_access

        return store_access.of_namespace(self.kube, self.namespace, own_machine=True)
