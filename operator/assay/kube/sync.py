"""The synchronous client of the Kubernetes API for users: their kubeconfig, raw JSON."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from assay.api import resources
from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import MERGE_PATCH, Resource
from assay.kube import impersonation, kubeconfig, transport
from assay.kube.errors import ApiError
from assay.kube.kubeconfig import Target
from assay.kube.login import Certificate, Login
from assay.kube.shallow import loads

FIELD_MANAGER = "assay-cli"
_PAGE = 500
_BUSY, _UNAUTHORIZED, _NOT_FOUND = 429, 401, 404
_NOT_INSTALLED = "is Assay installed in this cluster? `kubectl config current-context` names it"
_TRIES = 10
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


class Kube:
    """One connection to one cluster as one user. ``namespace`` is that of the context, or "default"."""

    def __init__(self, path: str = "", context: str = "", as_user: str = "", as_groups: tuple[str, ...] = ()):
        """Select the cluster and user of a kubeconfig like kubectl. Raises AssayError; sends nothing yet."""
        target = kubeconfig.load(path, context)
        self._begin(target, impersonation.headers(as_user, as_groups, target.user))

    def _begin(self, target: Target, headers: urllib3.HTTPHeaderDict, pool: urllib3.PoolManager | None = None) -> None:
        self._target, self._headers, self._login = target, headers, Login(target)
        self._lock = threading.Lock()
        self._pool: tuple[Certificate | None, urllib3.PoolManager] | None = (None, pool) if pool else None

    @property
    def namespace(self) -> str:
        """The namespace of the context."""
        return self._target.namespace

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._target.server

    def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        """Return an object. Raises ApiError, with status 404 if it does not exist."""
        if not name:
            # The path without a name is that of the list, which exists.
            raise ApiError(_NOT_FOUND, "NotFound", f"no object of {resource[1]} has an empty name")
        return self.request("GET", _path(resource, namespace, name))

    def find(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object, None if it does not exist. Raises ApiError."""
        try:
            return self.get(resource, namespace, name)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def list(self, resource: Resource, namespace: str, *, labels: str = "", fields: str = "") -> Iterator[Raw]:
        """Yield the objects of a kind page by page, in all namespaces if ``namespace`` is "". Raises ApiError."""
        token = ""
        while True:
            query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields, "continue": token}
            found = self.request("GET", _path(resource, namespace), query=query)
            yield from found.get("items") or []
            token = (found.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def create(self, resource: Resource, namespace: str, body: Raw, *, dry_run: bool = False) -> Raw:
        """Create an object; with ``dry_run`` return what would be created. Raises ApiError."""
        return self.request("POST", _path(resource, namespace), body=body, query=_writing(dry_run))

    def patch(
        self, resource: Resource, namespace: str, name: str, patch: Raw, part: str = "", *, dry_run: bool = False
    ) -> Raw:
        """Merge-patch an object or its subresource. Raises ApiError."""
        path = _path(resource, namespace, name, part)
        return self.request("PATCH", path, body=patch, content=MERGE_PATCH, query=_writing(dry_run))

    def delete(self, resource: Resource, namespace: str, name: str, *, uid: str, dry_run: bool = False) -> None:
        """Delete an object with this UID, and in the background what it owns. Raises ApiError."""
        body: Raw = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        # The API server ignores the query of a request that has a body.
        body |= {"preconditions": {"uid": uid}, "dryRun": ["All"] if dry_run else []}
        self.request("DELETE", _path(resource, namespace, name), body=body)

    def can(self, verb: str, group: str, resource: str, namespace: str, name: str = "") -> bool:
        """Whether the user has a right, according to the API server. Raises ApiError."""
        about = {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": about},
        }
        found = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool((found.get("status") or {}).get("allowed"))

    def whoami(self) -> str:
        """Return the user's name in the cluster. Raises ApiError."""
        return str(self._user_info()["username"])

    def groups(self) -> tuple[str, ...]:
        """Return the user's groups in the cluster. Raises ApiError."""
        return tuple(str(each) for each in self._user_info().get("groups") or [])

    def token(self) -> str:
        """Return the bearer token of the next request; "" if the user signs in another way. Raises AssayError."""
        scheme, _, found = self._login.identity().authorization.partition(" ")
        return found if scheme == "Bearer" and not self._headers else ""

    def _user_info(self) -> Raw:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        found = self.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
        return dict(found["status"]["userInfo"])

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Raw | None = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Raw:
        """Send one request and return the JSON of the response. Raises ApiError."""
        data = None if body is None else json.dumps(body).encode()
        with self.stream(method, path, body=data, content=content, query=query) as answer:
            try:
                text = answer.read()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                message = f"the connection to the API server {self.server} broke: {error}"
                raise ApiError(0, "Unreachable", message, hint="try again") from None
        found = loads(text) if text else {}
        return found if isinstance(found, dict) else {}

    def stream(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        timeout: urllib3.Timeout = _TIMEOUT,
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return the response. The caller reads and closes its body. Raises ApiError."""
        parameters = {name: value for name, value in (query or {}).items() if value}
        url = self.server + path + (f"?{urlencode(parameters)}" if parameters else "")
        headers = self._headers | {"Accept": accept, "Content-Type": content}
        renewable = True
        for _ in range(_TRIES):
            # Computed for every request, because tokens expire.
            authorization, certificate = self._login.identity()
            signed_in = headers | ({"Authorization": authorization} if authorization else {})
            try:
                answer = self._connections(certificate).request(
                    method, url, body=body, headers=signed_in, timeout=timeout, retries=False, preload_content=False
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise ApiError(0, "Unreachable", f"cannot reach the API server {self.server}: {error}") from None
            if answer.status == _UNAUTHORIZED and renewable and self._login.renew():
                renewable = False
                answer.drain_conn()
                continue
            if answer.status != _BUSY:
                break
            _wait(answer)
        if answer.status >= 400:
            raise _refusal(answer, f"the API server {self.server} answers HTTP {answer.status} to {method} {path}")
        _check_origin(answer, self.server)
        return answer

    def _connections(self, certificate: Certificate | None) -> urllib3.PoolManager:
        """Return the connections, new ones if the client certificate was renewed."""
        with self._lock:
            if self._pool is None or self._pool[0] != certificate:
                self._pool = certificate, transport.connections(self._target, certificate)
            return self._pool[1]


def _wait(answer: Any) -> None:
    """Wait for as long as a busy API server requests with Retry-After."""
    seconds = answer.headers.get("Retry-After") or ""
    answer.drain_conn()
    time.sleep(min(5, int(seconds) if seconds.isdigit() else 1))


def _writing(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else ""}


def _refusal(answer: Any, fallback: str) -> ApiError:
    """Return the error of an answer. ``fallback`` is its message without a Status object, which unknown paths have."""
    text = answer.read()
    try:
        found = loads(text)
    except ValueError:
        found = {}
    if isinstance(found, dict) and found.get("message"):
        return ApiError(answer.status, found.get("reason") or "", found["message"])
    return ApiError(answer.status, "", fallback, hint=_NOT_INSTALLED if answer.status == _NOT_FOUND else "")


def _check_origin(answer: Any, server: str) -> None:
    """Raise ApiError for a page or a redirect: a proxy or a web server answers in place of the API server."""
    content = (answer.headers.get("Content-Type") or "").partition(";")[0]
    if answer.status < 300 and content != "text/html":
        return
    what = "a redirect" if answer.status >= 300 else "a web page"
    answer.drain_conn()
    raise ApiError(
        0,
        "Unreachable",
        f"{server} does not answer like an API server: HTTP {answer.status} with {what}",
        hint="check the server of the kubeconfig, and whether a proxy wants you to sign in",
    )


def _path(resource: Resource, namespace: str, name: str = "", part: str = "") -> str:
    try:
        return resources.path(resource, namespace, name, part)
    except ValueError as error:
        raise ObjectNotFound(str(error)) from None
