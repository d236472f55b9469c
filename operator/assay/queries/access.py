"""The argument of every query: the user, cluster, namespace and store. Connects lazily."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    @cached_property
    def store(self) -> ObjectStore:
        """The object store, with the user's own keys. Raises AssayError."""
        from assay.store.client import ObjectStore

        return ObjectStore(self._store_address.config)

    @cached_property
    def trail_store(self) -> ObjectStore:
        """The store of the audit trail, which may be another bucket. Raises AssayError."""
        from assay.store.client import ObjectStore

        config, bucket = self._store_address
        return ObjectStore(replace(config, bucket=bucket or config.bucket))

    @cached_property
    def _store_address(self) -> StoreAddress:
        from assay.queries import store_access

        return store_access.from_environment() or store_access.from_secret(self.kube, self.namespace)
