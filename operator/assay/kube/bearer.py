"""A client of the Kubernetes API that authenticates with a given token and with nothing else.

A server that acts for people uses it: the server's own certificates, tokens and `as` fields must never be part of a
request that somebody else makes. Of its own configuration only the API server's address and authority are used.
"""

from __future__ import annotations

from typing import Any

import urllib3
from kubernetes import client as kube_client

from assay.kube.sync import Kube

#: What a configuration has besides credentials.
_ADDRESS = ("host", "ssl_ca_cert", "verify_ssl", "tls_server_name", "proxy", "no_proxy", "assert_hostname")


class ApiServer:
    """The address of one API server, and the connections to it, which all its users share."""

    def __init__(self, kubeconfig: str = "", context: str = "") -> None:
        """Read the address from a kubeconfig, or of the cluster that this process runs in. Raises AssayError."""
        known = Kube(kubeconfig, context).configuration
        self.configuration = kube_client.Configuration()
        for name in _ADDRESS:
            setattr(self.configuration, name, getattr(known, name, None))
        self.pool: Any = kube_client.ApiClient(self.configuration).rest_client.pool_manager

    def as_bearer(self, token: str, namespace: str = "default") -> BearerKube:
        """Return a client for the holder of a token."""
        return BearerKube(self, token, namespace)


class BearerKube(Kube):
    """One user on one API server, known by a token."""

    def __init__(self, server: ApiServer, token: str, namespace: str) -> None:
        # Not the base class's: it would load this process's own credentials.
        self.namespace = namespace
        self.configuration = server.configuration
        self._pool, self._headers, self._token = server.pool, urllib3.HTTPHeaderDict(), token

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}
