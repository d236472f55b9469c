"""A client of the Kubernetes API that authenticates with a given token and with nothing else.

A server that acts for people uses it: the server's own certificates, tokens and `as` fields must never be part of a
request that somebody else makes. Of its own kubeconfig only the cluster is used: address, authority and proxy.
"""

from __future__ import annotations

from typing import Any

import urllib3

from assay.api.errors import PermissionDenied
from assay.kube import kubeconfig, transport
from assay.kube.errors import ApiError
from assay.kube.kubeconfig import Target
from assay.kube.sync import Kube

_UNAUTHORIZED = 401
#: The API server only says "Unauthorized".
_REFUSED = "the API server does not accept your token: it has expired, or its issuer or audience is not known there"
_HINT = "sign in again; if that does not help, docs/server.md lists which settings must match"


class ApiServer:
    """The address of one API server, and the connections to it, which all its users share."""

    def __init__(self, path: str = "", context: str = "") -> None:
        """Read the cluster of a kubeconfig, or the one that this process runs in. Raises AssayError."""
        self.cluster = kubeconfig.load(path, context).cluster
        self.pool = transport.connections(Target("default", self.cluster), None)

    def as_bearer(self, token: str, namespace: str = "default") -> BearerKube:
        """Return a client for the holder of a token. Raises PermissionDenied for an empty one."""
        return BearerKube(self, token, namespace)


class BearerKube(Kube):
    """One user on one API server, known by a token."""

    def __init__(self, server: ApiServer, token: str, namespace: str) -> None:
        # Not the base class's: it would load this process's own credentials.
        if not token:
            raise PermissionDenied("the request has no token", hint="authenticate with a bearer token")
        self._begin(Target(namespace, server.cluster, {"token": token}), urllib3.HTTPHeaderDict(), server.pool)

    def stream(self, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send one request as the base class does, and explain the refusal of a token."""
        try:
            return super().stream(*arguments, **options)
        except ApiError as error:
            if error.status != _UNAUTHORIZED:
                raise
            raise ApiError(error.status, error.reason, _REFUSED, hint=_HINT) from None
