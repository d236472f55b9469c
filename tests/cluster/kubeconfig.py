"""Kubeconfig files: who speaks to the API server. Self-contained, written as JSON (which is YAML)."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.pki import Pki


@dataclass(frozen=True)
class Kubeconfigs:
    """Writes kubeconfig files for one API server."""

    server: str
    pki: Pki

    def certificate(self, path: Path, name: str) -> Path:
        """A file that authenticates with the certificate `name` of the cluster's PKI."""
        return self._write(path, self._certificate_user(name))

    def impersonating(self, path: Path, user: str, groups: list[str]) -> Path:
        """A file with which the administrator acts as `user` in `groups`."""
        who = {"as": user, "as-groups": groups} if groups else {"as": user}
        return self._write(path, self._certificate_user("admin") | who)

    def token(self, path: Path, token: str) -> Path:
        """A file that authenticates with a bearer token."""
        return self._write(path, {"token": token})

    def _certificate_user(self, name: str) -> dict[str, Any]:
        return {
            "client-certificate-data": _encoded(self.pki.certificate(name)),
            "client-key-data": _encoded(self.pki.key(name)),
        }

    def _write(self, path: Path, user: dict[str, Any]) -> Path:
        cluster = {
            "server": self.server,
            "certificate-authority-data": _encoded(self.pki.certificate("ca")),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "assay", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "assay", "context": {"cluster": "assay", "user": "user"}}],
            "current-context": "assay",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=1))
        return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
