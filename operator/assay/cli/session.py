"""Who asks, and where: what every command is given. Signs in when it is first needed, and not before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.kube.sync import Kube
    from assay.store.client import ObjectStore


@dataclass
class Session:
    """The options that all commands share, and the connections that follow from them."""

    kubeconfig: str = ""
    context: str = ""
    namespace_option: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()

    @cached_property
    def kube(self) -> Kube:
        """The API server, as the user. Raises CliError."""
        from assay.kube.sync import Kube

        return Kube(self.kubeconfig, self.context, self.as_user, self.as_groups)

    @cached_property
    def namespace(self) -> str:
        """The namespace of the option, else that of the kubeconfig's context."""
        return self.namespace_option or self.kube.namespace

    @cached_property
    def store(self) -> ObjectStore:
        """The object store, with the user's own keys. Raises CliError."""
        from assay.queries.store_access import open_store

        return open_store(self)

    @cached_property
    def trail_store(self) -> ObjectStore:
        """Where the audit trail lies. Raises CliError."""
        from assay.queries.store_access import open_trail_store

        return open_trail_store(self)
