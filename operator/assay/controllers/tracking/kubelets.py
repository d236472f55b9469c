"""Read resource usage from kubelets, with a service account that has no other permissions.

A compromised node receives the token. It is therefore not the operator's own token, expires after an hour, and is sent
only over TLS verified by the cluster's CA.
"""

import ipaddress
import json
import ssl
import time
from pathlib import Path

import aiohttp

from assay.api.objects import Raw
from assay.api.resources import NODES, SERVICE_ACCOUNTS
from assay.kube.aio import Kube
from assay.kube.errors import ApiError

SERVICE_ACCOUNT = "assay-node-stats"
_PATH = "/stats/summary?only_cpu_and_memory=true"
_TIMEOUT_SECONDS = 10
_MAX_BYTES = 32 << 20
_TOKEN_SECONDS = 3600
_ADDRESS_SECONDS = 600.0
_KINDS = ("InternalIP", "InternalDNS", "Hostname")


class NoStats(Exception):
    """A kubelet returned no usage. The message says why."""


class Kubelets:
    """Queries the kubelets of one cluster. ``namespace`` is the namespace of the service account.

    ``ca_file`` is the CA of the kubelets' certificates, "" for the API server's CA.
    """

    def __init__(self, kube: Kube, namespace: str, ca_file: str = "") -> None:
        self._kube = kube
        self._namespace = namespace
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._token = ""
        self._renew_at = 0.0
        #: By node name: the kubelet's URL, and the time until which it is cached.
        self._urls: dict[str, tuple[str, float]] = {}

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def summary(self, node: str) -> Raw:
        """Return the raw CPU and memory summary of a node's kubelet. Raises NoStats."""
        try:
            tls, url, token = self._trust(), await self._url(node), await self._signed_in()
        except ApiError as error:
            raise NoStats(f"node {node}: {error}") from None
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        try:
            return await self._get(self._session, url + _PATH, token, tls, node)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._urls.pop(node, None)
            raise NoStats(f"node {node}: {_plain(error)}") from None

    async def _get(self, session: aiohttp.ClientSession, url: str, token: str, tls: ssl.SSLContext, node: str) -> Raw:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with session.get(url, headers=headers, ssl=tls, allow_redirects=False) as response:
            text = await _body(response)
            if response.status in (401, 403):
                self._renew_at = 0.0
            if response.status != 200:
                message = text[:200].decode(errors="replace").strip()
                raise NoStats(f"node {node}: the kubelet answers {response.status}: {message}")
        found = json.loads(text)
        return found if isinstance(found, dict) else {}

    def _trust(self) -> ssl.SSLContext:
        """Return a TLS context that trusts only the kubelets' CA. Raises NoStats when no CA is configured."""
        if self._tls is None:
            file = self._ca_file or self._kube.ca_file
            if not file or not Path(file).is_file():
                raise NoStats("the CA of the kubelets is unknown: set ASSAY_KUBELET_CA_FILE")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise NoStats(f"the CA in {file} cannot be read: {error}") from None
            self._tls = context
        return self._tls

    async def _signed_in(self) -> str:
        """Return a token of the service account that may query kubelets. Raises ApiError."""
        if time.monotonic() >= self._renew_at:
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
            spec = {"expirationSeconds": _TOKEN_SECONDS}
            answer = await self._kube.post_part(
                SERVICE_ACCOUNTS, self._namespace, SERVICE_ACCOUNT, "token", {**body, "spec": spec}
            )
            self._token = str((answer.get("status") or {}).get("token") or "")
            self._renew_at = time.monotonic() + _TOKEN_SECONDS / 2
        return self._token

    async def _url(self, node: str) -> str:
        url, until = self._urls.get(node, ("", 0.0))
        if time.monotonic() < until:
            return url
        body = await self._kube.get(NODES, "", node)
        if body is None:
            raise NoStats(f"node {node} no longer exists")
        self._urls[node] = url_of(body), time.monotonic() + _ADDRESS_SECONDS
        return self._urls[node][0]


def url_of(node: Raw) -> str:
    """Return the URL of a raw node's kubelet. Raises NoStats when the node's status lacks an address or a port."""
    status = node.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    known = {each.get("type"): str(each.get("address")) for each in reversed(status.get("addresses") or [])}
    address = next((known[kind] for kind in _KINDS if known.get(kind)), "")
    if not address or not isinstance(port, int):
        raise NoStats(f"node {node['metadata']['name']} reports no address and port of its kubelet")
    try:
        host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        host = address
    return f"https://{host}:{port}"


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a response. Raises ValueError when it is larger than _MAX_BYTES."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > _MAX_BYTES:
            raise ValueError(f"the kubelet answers with more than {_MAX_BYTES} bytes")
    return bytes(data)


def _plain(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the kubelet's certificate is not trusted: {error.certificate_error}"
    return str(error) or type(error).__name__
