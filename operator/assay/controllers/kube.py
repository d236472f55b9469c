"""The Kubernetes API as the reconcilers need it: raw JSON in, raw JSON out, through one asynchronous client.

Deserialising into the client's model classes would cost more than the requests themselves.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from assay.api import names
from assay.controllers import metrics

Raw = dict[str, Any]

JOBS = "/apis/batch/v1", "jobs"
SECRETS = "/api/v1", "secrets"
EVENTS = "/api/v1", "events"
RUNS = f"/apis/{names.API_VERSION}", "runs"
EXPERIMENTS = f"/apis/{names.API_VERSION}", "experiments"
Resource = tuple[str, str]

_TIMEOUT_SECONDS = 30
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused a request. ``status`` is the HTTP code, the text is the server's own message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def permanent(self) -> bool:
        """Whether the same request would be refused again: the object is invalid or forbidden, not the moment wrong."""
        return self.status in (400, 403, 405, 413, 422)


class Kube:
    """One client for the whole process. ``concurrency`` bounds the requests under way."""

    def __init__(self, concurrency: int) -> None:
        self._client: Any = None
        self._slots = asyncio.Semaphore(concurrency)

    async def connect(self) -> None:
        """Sign in: as the pod's service account inside a cluster, else by the kubeconfig."""
        try:
            kube_config.load_incluster_config()
        except kube_config.ConfigException:
            await kube_config.load_kube_config()
        self._client = kube_client.ApiClient()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object, None when there is none. Raises ApiError."""
        try:
            return await self._request("GET", _path(resource, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw | None:
        """Create an object; None when one of that name exists. Raises ApiError."""
        try:
            return await self._request("POST", _path(resource, namespace), body)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Raw, part: str = ""
    ) -> Raw | None:
        """Patch an object, or with ``part`` its subresource; None when it is gone. Raises ApiError."""
        try:
            return await self._request("PATCH", _path(resource, namespace, name, part), patch, MERGE_PATCH)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object; one that is gone, or has another UID, is fine. Raises ApiError."""
        body: Raw = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", _path(resource, namespace, name), body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _request(self, method: str, path: str, body: Raw | None = None, content: str = "application/json") -> Raw:
        headers: Mapping[str, str] = {"Accept": "application/json", "Content-Type": content}
        query = [("fieldManager", names.FIELD_MANAGER)] if method in ("POST", "PATCH") else []
        async with self._slots:
            metrics.API_REQUESTS.labels(method).inc()
            try:
                response = await self._client.call_api(
                    path,
                    method,
                    query_params=query,
                    header_params=dict(headers),
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=_TIMEOUT_SECONDS,
                )
                # Without preloading, the client leaves both the reading and the checking to its caller.
                text, status = await response.read(), response.status
            except (OSError, TimeoutError) as error:
                raise ApiError(
                    0, "Unreachable", f"the API server cannot be reached: {error or type(error).__name__}"
                ) from error
        return _checked(status, text)


def _checked(status: int, text: bytes) -> Raw:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = {}
    if status < 400:
        return dict(found)
    raise ApiError(status, found.get("reason") or "", found.get("message") or f"HTTP {status}")


def _path(resource: Resource, namespace: str, name: str = "", part: str = "") -> str:
    prefix, plural = resource
    return "/".join(filter(None, [prefix, "namespaces", quote(namespace), plural, quote(name), part]))
