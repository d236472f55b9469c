"""What tests ask of the API server again and again: as `kubectl get`, `create` and `patch` do, without the process."""

import json
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tests.cluster.api import Api, Headers
from tests.cluster.errors import ClusterError

Raw = dict[str, Any]
MASTERS = "system:masters"


@dataclass(frozen=True)
class Who:
    """Whom a call impersonates, by default nobody: it is the administrator's."""

    name: str = ""
    group: str = ""

    @property
    def headers(self) -> Headers:
        """The headers of a request."""
        found = {"Impersonate-User": self.name, "Impersonate-Group": self.group}
        return {header: value for header, value in found.items() if value}

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of kubectl."""
        found = {"--as": self.name, "--as-group": self.group}
        return tuple(f"{flag}={value}" for flag, value in found.items() if value)


ADMINISTRATOR = Who()
#: Seconds between two looks at what is not watched.
_PAUSE = 0.3

_GROUPS = {
    "/api/v1": ("pods", "secrets", "configmaps", "services", "events"),
    "/apis/apps/v1": ("deployments", "statefulsets", "replicasets"),
    "/apis/batch/v1": ("jobs",),
    "/apis/coordination.k8s.io/v1": ("leases",),
    "/apis/argoproj.io/v1alpha1": ("applications",),
    "/apis/assay.dev/v1alpha1": ("experiments", "runs", "modelversions", "modelaliases", "promotionpolicies"),
}
_SHORT = {
    "policy": "promotionpolicies",
    "exp": "experiments",
    "mv": "modelversions",
    "alias": "modelaliases",
    "deploy": "deployments",
}
_PATHS = {
    plural: f"{group}/namespaces/{{namespace}}/{plural}" for group, plurals in _GROUPS.items() for plural in plurals
}


class Cluster(Protocol):
    """A cluster; one that offers no `api` is asked by kubectl."""

    def kubectl(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as the administrator."""


def one(cluster: Cluster, namespace: str, kind: str, name: str) -> Raw:
    """Return an object, {} when there is none. Raises ClusterError."""
    path = _path(cluster, namespace, kind)
    if path is None:
        argv = ("get", kind, name, f"--namespace={namespace}", "--output=json", "--ignore-not-found")
        text = cluster.kubectl(*argv)
        return json.loads(text) if text.strip() else {}
    with _as_cluster_error():
        found = _ask(_api(cluster), f"{path}/{urllib.parse.quote(name)}")
    return _as_kubectl_shows(found) if found else {}


def many(cluster: Cluster, namespace: str, kind: str, selector: str = "") -> list[Raw]:
    """Return the objects of a kind that a label selector matches. Raises ClusterError."""
    path = _path(cluster, namespace, kind)
    if path is None:
        more = [f"--selector={selector}"] if selector else []
        text = cluster.kubectl("get", kind, f"--namespace={namespace}", "--output=json", *more)
        return list(json.loads(text)["items"])
    query = "?" + urllib.parse.urlencode({"labelSelector": selector}) if selector else ""
    with _as_cluster_error():
        found = _ask(_api(cluster), path + query)
    if not found:
        raise ClusterError(f"the API server knows no {kind}")
    kind_of_each = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    return [_as_kubectl_shows(kind_of_each | each) for each in found["items"]]


def changes(cluster: Cluster, namespace: str, kind: str, name: str) -> Iterator[Raw]:
    """Yield an object without end: when it changes, and at least each second. It is {} while there is none.

    Raises ClusterError.
    """
    path = _path(cluster, namespace, kind)
    while path is None:
        yield one(cluster, namespace, kind, name)
        time.sleep(_PAUSE)
    path = f"{path}?fieldSelector=metadata.name%3D{urllib.parse.quote(name)}"
    with _as_cluster_error():
        while True:
            listed = _api(cluster).get(path)
            kind_of_each = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
            found = kind_of_each | listed["items"][0] if listed["items"] else {}
            version = listed["metadata"]["resourceVersion"]
            while version:
                yield _as_kubectl_shows(found) if found else {}
                for event in _api(cluster).watch(f"{path}&resourceVersion={version}", seconds=1):
                    if event["type"] == "ERROR":  # the version is too old
                        version = ""
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    found = {} if event["type"] == "DELETED" else event["object"]
                    yield _as_kubectl_shows(found) if found else {}


def create(cluster: Cluster, namespace: str, manifest: Raw, *, who: Who = ADMINISTRATOR, dry_run: bool = False) -> Raw:
    """Create an object, or only try to, and return it. Raises ClusterError."""
    path = _path(cluster, namespace, manifest["kind"])
    if path is None:
        argv = ("create", f"--namespace={namespace}", "--output=json", "--filename=-", *who.flags)
        more = ("--dry-run=server",) if dry_run else ()
        return dict(json.loads(cluster.kubectl(*argv, *more, stdin=json.dumps(manifest))))
    with _as_cluster_error():
        more = ("&dryRun=All",) if dry_run else ()
        return dict(_api(cluster).post("".join((f"{path}?fieldValidation=Strict", *more)), manifest, who.headers))


def apply(
    cluster: Cluster, namespace: str, manifest: Raw, *, who: Who = ADMINISTRATOR, manager: str = "kubectl"
) -> Raw:
    """Create or change an object by server-side apply, with force, and return it. Raises ClusterError."""
    path = _path(cluster, namespace, manifest["kind"])
    if path is None:
        argv = ("apply", f"--namespace={namespace}", "--server-side", "--force-conflicts", f"--field-manager={manager}")
        more = ("--output=json", "--filename=-", *who.flags)
        return dict(json.loads(cluster.kubectl(*argv, *more, stdin=json.dumps(manifest))))
    with _as_cluster_error():
        path = f"{path}/{urllib.parse.quote(manifest['metadata']['name'])}"
        return dict(_api(cluster).apply(path, manifest, manager, who.headers))


def patch(
    cluster: Cluster,
    namespace: str,
    kind: str,
    name: str,
    change: Raw | list[Raw],
    *,
    who: Who = ADMINISTRATOR,
    status: bool = False,
) -> Raw:
    """Change an object, or its status, by a merge patch (a mapping) or a JSON patch (a list). Raises ClusterError."""
    path = _path(cluster, namespace, kind)
    sort = "json" if isinstance(change, list) else "merge"
    if path is None:
        argv = ("patch", kind, name, f"--namespace={namespace}", f"--type={sort}", f"--patch={json.dumps(change)}")
        more = ("--output=json", *(("--subresource=status",) if status else ()), *who.flags)
        return dict(json.loads(cluster.kubectl(*argv, *more)))
    with _as_cluster_error():
        path = f"{path}/{urllib.parse.quote(name)}{'/status' if status else ''}"
        return dict(_api(cluster).patch(path, change, f"application/{sort}-patch+json", who.headers))


def patch_status(cluster: Cluster, namespace: str, kind: str, name: str, status: Raw, user: str) -> Raw:
    """Change a status by a merge patch, by a user's name with an administrator's rights. Raises ClusterError."""
    return patch(cluster, namespace, kind, name, {"status": status}, who=Who(user, MASTERS), status=True)


def _api(cluster: Cluster) -> Api:
    api: Api = cluster.api  # type: ignore[attr-defined]
    return api


def _path(cluster: Cluster, namespace: str, kind: str) -> str | None:
    """Return the path of a namespace's objects of a kind, None where kubectl has to find out."""
    if not isinstance(getattr(cluster, "api", None), Api):
        return None
    word = kind.lower().removesuffix(".assay.dev")
    for plural in (_SHORT.get(word, word), f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies"):
        if plural in _PATHS:
            return _PATHS[plural].format(namespace=urllib.parse.quote(namespace))
    return None


def _ask(api: Api, path: str) -> Raw:
    try:
        found: Raw = api.get(path)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise
    return found


@contextmanager
def _as_cluster_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # what the server refuses is one, too
        raise ClusterError(str(error)) from error


def _as_kubectl_shows(found: Raw) -> Raw:
    found["metadata"].pop("managedFields", None)
    return found
