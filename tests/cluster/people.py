"""People in a namespace: the chart's roles bound to four users, and a store key that can only read.

docs/personas.md and docs/cli.md tell a platform team to do the same with kubectl and mc.
"""

import json
import secrets

from tests.cluster import store
from tests.cluster.charting import Release

ROLES = {"dora": "data-scientist", "rita": "approver", "walter": "release-manager", "alex": "auditor"}
AUDITOR = "alex"
SECRET = "assay-store"
_HEADS = "assay-audit-heads"


def set_up(release: Release, namespace: str) -> None:
    """Give the people their roles in a namespace, and the namespace a read-only store key. It can be repeated."""
    everybody = [_user(person) for person in ROLES]
    for person, role in ROLES.items():
        _apply(release, namespace, _binding(person, "ClusterRole", f"assay-{role}", [_user(person)]))
    _apply(release, namespace, _store_secret(release, namespace))
    _apply(release, namespace, _reading_role(SECRET, "secrets"))
    _apply(release, namespace, _binding(SECRET, "Role", SECRET, everybody))
    # The operator keeps the head of the audit trail in its own namespace, where nobody else can write it.
    _apply(release, release.namespace, _reading_role(_HEADS, "configmaps"))
    _apply(release, release.namespace, _binding(_HEADS, "Role", _HEADS, [_user(AUDITOR)]))


def _apply(release: Release, namespace: str, manifest: dict[str, object]) -> None:
    release.cluster.kubectl(f"--namespace={namespace}", "apply", "--filename=-", stdin=json.dumps(manifest))


def _store_secret(release: Release, namespace: str) -> dict[str, object]:
    """Create the store's user, or give it a new key, and return the Secret that holds the key."""
    reader = store.create_reader(release.cluster.store, namespace, secrets.token_urlsafe(24))
    values = {
        "endpoint": reader.endpoint,
        "bucket": reader.bucket,
        "accessKey": reader.access_key,
        "secretKey": reader.secret_key,
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": values}


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def _binding(name: str, kind: str, role: str, subjects: list[dict[str, str]]) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": subjects,
    }


def _reading_role(name: str, resource: str) -> dict[str, object]:
    """Return a Role that lets its subjects get the one object of its name."""
    rule = {"apiGroups": [""], "resources": [resource], "resourceNames": [name], "verbs": ["get"]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": [rule],
    }
