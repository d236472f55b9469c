"""Repositories and Applications for a real Argo CD: what people push, and what it makes of that."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.argocd.checkout import Checkout
from tests.cluster import calls
from tests.cluster.argocd import NAMESPACE, ArgoCd
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

Raw = dict[str, Any]
REFRESH = "argocd.argoproj.io/refresh"
IN_CLUSTER = "https://kubernetes.default.svc"


class Repository(Checkout):
    """A checkout whose commits go to a repository that Argo CD reads."""

    def __init__(self, argo_cd: ArgoCd, folder: Path, name: str, origin: Path) -> None:
        self.url = f"{argo_cd.git_url}/{name}"
        self._bare = argo_cd.repositories / name
        self.pushed = 0.0
        super().__init__(folder, origin)

    def commit(self, message: str) -> str:
        """Commit everything as it is, push it, and return the commit."""
        found = super().commit(message)
        self.push()
        return found

    def revert(self, commit: str) -> str:
        """Undo a commit by another one, and push that."""
        found = super().revert(commit)
        self.push()
        return found

    def track(self) -> None:
        """Have a bare `git push` in the checkout push there."""
        self.git("remote", "add", "origin", str(self._bare))
        self.git("config", "branch.main.remote", "origin")
        self.git("config", "branch.main.merge", "refs/heads/main")

    def push(self) -> None:
        """Push; `pushed` is the moment."""
        if not self._bare.exists():
            self.git("clone", "--quiet", "--bare", str(self.folder), str(self._bare))
        self.git("push", "--quiet", str(self._bare), "HEAD:main")
        self.pushed = time.monotonic()

    def write(self, message: str, files: Mapping[str, Raw | list[Raw] | None]) -> str:
        """Write manifests, remove those that are None, and commit that."""
        for path, content in files.items():
            file = self.folder / path
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump_all(content if isinstance(content, list) else [content], sort_keys=False))
        return self.commit(message)


class Application:
    """One Application of a real Argo CD."""

    def __init__(self, argo_cd: ArgoCd, name: str) -> None:
        self.argo_cd = argo_cd
        self.name = name

    def body(self, repository: Repository, path: str, namespace: str, **spec: Any) -> Raw:
        """Return a manifest; `options` are compare options, `sync` are sync options."""
        options, sync = spec.pop("options", ""), spec.pop("sync", [])
        annotations = {"argocd.argoproj.io/compare-options": options} if options else {}
        policy = {"syncOptions": sync} if sync else {}
        policy |= spec.pop("policy", {})
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": self.name, "namespace": "argocd", "annotations": annotations},
            "spec": {
                "project": "default",
                "source": {"repoURL": repository.url, "targetRevision": "main", "path": path},
                "destination": {"server": IN_CLUSTER, "namespace": namespace},
                "syncPolicy": policy,
                **spec,
            },
        }

    def get(self) -> Raw:
        """Return the Application."""
        found = calls.one(self.argo_cd.cluster, NAMESPACE, "applications", self.name)
        if not found:
            raise ClusterError(f"there is no Application {self.name}")
        return found

    def ask_to_refresh(self) -> None:
        """Have it look at Git and at the cluster, as the webhook of a Git server does.

        A request that is being carried out may have read Git already, so another one waits for its end.
        """
        self.wait("end of the last refresh", self._is_refreshed)
        self.argo_cd.kubectl("annotate", "--overwrite", "application", self.name, f"{REFRESH}=normal")

    def refresh(self) -> Raw:
        """Have it look at Git and at the cluster; return it afterwards."""
        self.ask_to_refresh()
        return self.wait("refresh", self._is_refreshed)

    @staticmethod
    def _is_refreshed(app: Raw) -> bool:
        return REFRESH not in app["metadata"].get("annotations", {})

    def wait(self, what: str, holds: Callable[[Raw], Any], seconds: float = 40) -> Raw:
        """Wait until something holds of the Application, and return it."""
        seen: list[Raw] = []

        def probe() -> bool:
            seen[:] = [self.get()]
            return bool(holds(seen[0]))

        wait_for(f"Application {self.name}: {what}", probe, seconds=seconds, every=0.2, saw=lambda: _summary(seen))
        return seen[0]

    def sync(self, *, wait: bool = True, **more: Any) -> Raw:
        """Have it synced to the newest commit; return it when the operation has ended."""
        app, mark = self.get(), [{"name": "number", "value": secrets.token_hex(4)}]
        options = app["spec"].get("syncPolicy", {}).get("syncOptions", [])
        what = {"revision": "main", "syncOptions": options, **more}
        operation = {"sync": what, "initiatedBy": {"username": "walter"}, "info": mark}
        self.argo_cd.kubectl(
            "patch", "application", self.name, "--type=merge", "-p", json.dumps({"operation": operation})
        )

        def ended(app: Raw) -> bool:
            state = app.get("status", {}).get("operationState", {})
            ours = state.get("operation", {}).get("info") == mark
            return ours and state["phase"] not in ("Running", "Terminating")

        return self.wait("end of the sync", ended) if wait else app

    def summary(self) -> Any:
        """Return what its page shows first."""
        return _summary([self.get()])

    def synced(self, commit: str, seconds: float = 60) -> Raw:
        """Wait until a commit is applied and nothing differs."""
        return self.wait(
            f"Synced to {commit[:7]}",
            lambda app: app["status"]["sync"]["status"] == "Synced" and app["status"]["sync"]["revision"] == commit,
            seconds,
        )

    def healthy(self, status: str, message: str = "", seconds: float = 40) -> Raw:
        """Wait until the Application has a health, and one of its objects the message."""
        return self.wait(
            f"{status} {message}",
            lambda app: (
                app["status"]["health"]["status"] == status and (not message or message in self.messages(app).values())
            ),
            seconds,
        )

    def messages(self, app: Raw | None = None) -> dict[str, str]:
        """Return the health message of every object, as the tree shows it."""
        return {
            f"{node['kind']}/{node['name']}": node.get("health", {}).get("message", "") for node in self.tree()["nodes"]
        }

    def tree(self) -> Raw:
        """Return the tree of objects as its page shows it."""
        found: Raw = self.argo_cd.request(
            "GET", f"/api/v1/applications/{self.name}/resource-tree", token=self.argo_cd.token()
        )
        return found

    def difference(self) -> dict[str, tuple[Any, Any]]:
        """Return by object what Git would make of it and what it is, for those that differ."""
        path = f"/api/v1/applications/{self.name}/managed-resources"
        found = self.argo_cd.request("GET", path, token=self.argo_cd.token())["items"] or []
        pairs = {f"{each['kind']}/{each['name']}": _pair(each) for each in found}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def delete(self) -> None:
        """Remove the Application and leave its objects."""
        self.argo_cd.kubectl("delete", "application", self.name, "--ignore-not-found", "--wait=true")


def _pair(item: Raw) -> tuple[Any, Any]:
    return json.loads(item.get("predictedLiveState") or "null"), json.loads(item.get("normalizedLiveState") or "null")


def _summary(seen: list[Raw]) -> Any:
    status = seen[0].get("status", {}) if seen else {}
    state = status.get("operationState", {})
    return {
        "sync": status.get("sync", {}).get("status"),
        "revision": status.get("sync", {}).get("revision"),
        "health": status.get("health"),
        "conditions": status.get("conditions"),
        "operation": {key: state.get(key) for key in ("phase", "message", "retryCount")},
        "resources": [
            {key: each.get(key) for key in ("kind", "name", "status", "health")} for each in status.get("resources", [])
        ],
    }


__all__ = ["Application", "ClusterError", "Repository"]
