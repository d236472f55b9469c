"""The asynchronous client of the Kubernetes API for reconcilers: raw JSON in, raw JSON out.

Deserialising into the client's model classes would cost more than the requests themselves.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import aiohttp
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from assay.api import names, resources
from assay.api.objects import Raw
from assay.api.resources import MERGE_PATCH, PODS, STRATEGIC_PATCH, Resource
from assay.kube.errors import ApiError
from assay.kube.shallow import loads
from assay.store.config import ConfigError

_TIMEOUT_SECONDS = 30
_KUBECONFIG = "~/.kube/config"
_PAGE = 500
_PIECE = 1 << 18
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# JSON is valid YAML, and this is the only media type for server-side apply that every supported server accepts.
APPLY_PATCH = "application/apply-patch+yaml"


class Kube:
    """One client for the whole process. ``concurrency`` limits the concurrent requests.

    ``count`` is called with the method of each request; ``trace`` wraps each request, with its method and path.
    """

    def __init__(
        self,
        concurrency: int,
        count: Callable[[str], None] = lambda _: None,
        trace: Callable[[str, str], AbstractContextManager[None]] = lambda _, __: nullcontext(),
    ) -> None:
        self._client: Any = None
        self._session: aiohttp.ClientSession
        self._slots = asyncio.Semaphore(concurrency)
        self._count, self._trace = count, trace

    async def connect(self, kubeconfig: str | None = None) -> None:
        """Authenticate with a kubeconfig; by default as the pod's service account in a cluster, otherwise like kubectl.

        Raises ConfigError if there are no credentials.
        """
        try:
            if kubeconfig or not os.environ.get("KUBERNETES_SERVICE_HOST"):
                # The client itself reads the variable once, when it is imported, and takes an empty one for a file.
                await kube_config.load_kube_config(kubeconfig or os.environ.get("KUBECONFIG") or _KUBECONFIG)
            else:
                kube_config.load_incluster_config()
        except kube_config.ConfigException as error:
            raise ConfigError(f"no cluster is configured: set KUBECONFIG, or run inside a cluster ({error})") from None
        self._client = kube_client.ApiClient()
        # The client copies every body and reads ~/.netrc for every request, which costs more than the request itself.
        # So requests bypass it, and use only its connections, certificates and tokens.
        self._session = aiohttp.ClientSession(
            connector=self._client.rest_client.pool_manager.connector,
            connector_owner=False,
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            read_bufsize=2**21,
        )

    @property
    def ca_file(self) -> str:
        """The CA file of the API server, "" if none is configured."""
        return str(self._client.configuration.ssl_ca_cert or "")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._session.close()
            await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object, None if it does not exist. Raises ApiError."""
        try:
            return await self._request("GET", _path(resource, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self,
        resource: Resource,
        namespace: str,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Raw]:
        """Yield the objects of a kind, in all namespaces if ``namespace`` is "". Raises ApiError.

        ``selector`` is a label selector, ``fields`` a field selector.
        """
        accept = _METADATA_ONLY if metadata_only else "application/json"
        token = ""
        while True:
            query = {"limit": str(_PAGE), "labelSelector": selector, "fieldSelector": fields, "continue": token}
            found = await self._request("GET", _path(resource, namespace), accept=accept, query=query)
            for item in found.get("items") or []:
                yield item
            token = found.get("metadata", {}).get("continue") or ""
            if not token:
                return

    async def create(self, resource: Resource, namespace: str, body: Raw, *, strict: bool = False) -> Raw | None:
        """Create an object; None if one with that name exists. Raises ApiError, with ``strict`` for unknown fields."""
        query = {"fieldValidation": "Strict" if strict else ""}
        try:
            return await self._request("POST", _path(resource, namespace), body, query=query)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def post_part(self, resource: Resource, namespace: str, name: str, part: str, body: Raw) -> Raw:
        """Create a subresource, such as a token of a service account. Raises ApiError."""
        return await self._request("POST", _path(resource, namespace, name, part), body)

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Raw, part: str = ""
    ) -> Raw | None:
        """Patch an object, or with ``part`` its subresource; None if it does not exist. Raises ApiError."""
        try:
            return await self._request("PATCH", _path(resource, namespace, name, part), patch, MERGE_PATCH)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def strategic_patch(self, resource: Resource, namespace: str, name: str, patch: Raw) -> Raw:
        """Patch a built-in object with a strategic merge patch, which merges lists by key. Raises ApiError."""
        return await self._request("PATCH", _path(resource, namespace, name), patch, STRATEGIC_PATCH)

    async def apply(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        """Apply an object server-side as our field manager, with force. Raises ApiError.

        Any user can rewrite managedFields: without force, a conflict based on them would block the operator for ever.
        """
        query = {"force": "true"}
        return await self._request("PATCH", _path(resource, namespace, name), body, APPLY_PATCH, query=query)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, unless it is gone already or has another UID. Raises ApiError."""
        body: Raw = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", _path(resource, namespace, name), body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def log(self, namespace: str, pod: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the log of a container as it arrives. Raises ApiError, also when the connection breaks.

        ``query`` has fields of PodLogOptions. The limits of other requests do not apply: the caller sets its own.
        """
        headers = {"Accept": "*/*"}
        self._count("GET")
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"])
            async with self._session.get(
                self._client.configuration.host + _path(PODS, namespace, pod, "log"),
                params=query,
                headers=headers,
                proxy=self._client.configuration.proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS),
            ) as response:
                if response.status >= 400:
                    _checked(response.status, await response.read())
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, "Unreachable", f"cannot read the log: {error or type(error).__name__}") from error

    async def _request(
        self,
        method: str,
        path: str,
        body: Raw | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Raw:
        headers = {"Accept": accept, "Content-Type": content}
        parameters = {name: value for name, value in (query or {}).items() if value}
        if method in ("POST", "PATCH"):
            parameters["fieldManager"] = names.FIELD_MANAGER
        data = None if body is None else json.dumps(body)
        with self._trace(method, path):
            return _checked(*await self._send(method, path, headers, parameters, data))

    async def _send(
        self, method: str, path: str, headers: dict[str, str], parameters: Mapping[str, str], data: str | None
    ) -> tuple[int, bytes]:
        """Return the status and the body of the response. Raises ApiError if there is none."""
        async with self._slots:
            self._count(method)
            try:
                await self._client.update_params_for_auth(headers, [], ["BearerToken"])
                async with self._session.request(
                    method,
                    self._client.configuration.host + path,
                    params=parameters,
                    headers=headers,
                    data=data,
                    proxy=self._client.configuration.proxy,
                ) as response:
                    return response.status, await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise ApiError(
                    0, "Unreachable", f"cannot reach the API server: {error or type(error).__name__}"
                ) from error


def _checked(status: int, text: bytes) -> Raw:
    try:
        found = loads(text) if text else {}
    except ValueError:
        found = {}
    if status < 400:
        return dict(found)
    raise ApiError(status, found.get("reason") or "", found.get("message") or f"HTTP {status}")


def _path(resource: Resource, namespace: str, name: str = "", part: str = "") -> str:
    try:
        return resources.path(resource, namespace, name, part)
    except ValueError as error:
        raise ApiError(404, "NotFound", str(error)) from None
