"""Reads kubeconfigs as kubectl does: which cluster, user and namespace a command uses. Connects to nothing.

kubernetes.config does not suffice: it ignores ``proxy-url`` and an empty KUBECONFIG, merges several files differently,
and continues without credentials when a plugin fails.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from assay.api.errors import InvalidRequest
from assay.api.objects import Raw

_HINT: Final = "set KUBECONFIG, or select a file with --kubeconfig and one of its contexts with --context"
_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LISTS: Final = {"clusters": "cluster", "users": "user", "contexts": "context"}
#: The fields that name a file, relative to the file that they are in.
_FILES: Final = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
    "contexts": (),
}
_FastLoader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Target:
    """What a command connects to: ``cluster`` and ``user`` are those of the kubeconfig, with absolute file names."""

    namespace: str
    cluster: Raw
    user: Raw = field(default_factory=dict)
    #: The user's name, for error messages.
    user_name: str = ""

    @property
    def server(self) -> str:
        """The address of the API server, with its scheme and without a slash at the end."""
        address = str(self.cluster.get("server") or "").rstrip("/")
        tls = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")
        plain = not any(self.cluster.get(name) for name in tls)
        return address if "://" in address else f"http{'' if plain else 's'}://{address}"


def load(kubeconfig: str = "", context: str = "") -> Target:
    """Return what a kubeconfig selects; in a pod without one, the pod's service account. Raises InvalidRequest.

    ``kubeconfig`` overrides KUBECONFIG, and ``context`` the current context.
    """
    merged, known = _merged(kubeconfig)
    name = context or str(merged.get("current-context") or "")
    if not known and not context and in_pod():
        return _service_account()
    if not known:
        raise _unusable("no kubeconfig exists" if not kubeconfig else f"{kubeconfig} is empty")
    if not name:
        raise _unusable("no current context is set")
    contexts = merged["contexts"]
    if name not in contexts:
        raise _unusable(f"context {name!r} does not exist{_known(contexts)}")
    selected = contexts[name]
    user, cluster = str(selected.get("user") or ""), str(selected.get("cluster") or "")
    for kind, wanted in (("clusters", cluster), ("users", user)):
        if wanted not in merged[kind] and (wanted or kind == "clusters"):
            raise _unusable(f"context {name!r} names the {_LISTS[kind]} {wanted!r}, which does not exist")
    target = Target(
        str(selected.get("namespace") or "default"), merged["clusters"][cluster], merged["users"].get(user, {}), user
    )
    _check(target, cluster)
    return target


def contexts(kubeconfig: str = "") -> list[str]:
    """Return the names of all contexts. Raises InvalidRequest."""
    return list(_merged(kubeconfig)[0]["contexts"])


def in_pod() -> bool:
    """Whether this process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_POD / "token").is_file()


def data(owner: Raw, name: str) -> bytes | None:
    """Return a certificate or key: the decoded ``<name>-data``, otherwise the file. Raises InvalidRequest."""
    try:
        if owner.get(f"{name}-data"):
            return base64.b64decode(owner[f"{name}-data"], validate=False)
        return Path(owner[name]).read_bytes() if owner.get(name) else None
    except OSError as error:
        raise _unusable(f"cannot read {name} {owner[name]}: {error.strerror}") from None
    except (binascii.Error, ValueError):
        raise _unusable(f"{name}-data is not base64") from None


def _service_account() -> Target:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    space = _POD / "namespace"
    namespace = os.environ.get("POD_NAMESPACE") or (space.read_text().strip() if space.is_file() else "")
    return Target(
        namespace or "default",
        {
            "server": f"https://{f'[{host}]' if ':' in host else host}:{port}",
            "certificate-authority": str(_POD / "ca.crt"),
        },
        {"tokenFile": str(_POD / "token")},
        "the pod's service account",
    )


# Merging


def _merged(kubeconfig: str) -> tuple[Raw, bool]:
    """Return the fields of all files, objects by their name, and whether any file has content.

    The first file that has a name wins, with all fields; the same for the current context.
    """
    found: dict[str, Any] = {kind: {} for kind in _LISTS}
    known = False
    for path, needed in _paths(kubeconfig):
        config = _read(path, needed=needed)
        known = known or bool(config)
        for kind, entry in _LISTS.items():
            for each in _entries(config, kind, path):
                name, value = str(each.get("name") or ""), each.get(entry)
                found[kind].setdefault(name, _absolute(value if isinstance(value, dict) else {}, kind, path.parent))
        found["current-context"] = found.get("current-context") or config.get("current-context")
    return found, known


def _paths(kubeconfig: str) -> Iterator[tuple[Path, bool]]:
    """Yield the files, and whether each must exist."""
    if kubeconfig:
        yield Path(kubeconfig).expanduser(), True
        return
    listed = [each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    for each in dict.fromkeys(listed or [str(Path.home() / ".kube" / "config")]):
        yield Path(each), False


def _read(path: Path, *, needed: bool) -> Raw:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if needed:
            raise _unusable(f"{path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"cannot read {path}: {getattr(error, 'strerror', '') or 'it is not UTF-8'}") from None
    try:
        found = yaml.load(text, _FastLoader) or {}  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise _unusable(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise _unusable(f"{path} is not a kubeconfig")
    return found


def _entries(config: Raw, kind: str, path: Path) -> list[Raw]:
    entries = config.get(kind) or []
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise _unusable(f"{path}: {kind} is not a list of objects")
    return entries


def _absolute(entry: Raw, kind: str, folder: Path) -> Raw:
    """Return an entry with its file names made absolute."""
    found = dict(entry)
    for name in _FILES[kind]:
        if found.get(name):
            found[name] = str((folder / str(found[name])).absolute())
    plugin = found.get("exec")
    # A command without a slash is searched in PATH.
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command") or ""):
        found["exec"] = {**plugin, "command": str((folder / plugin["command"]).absolute())}
    return found


# Checking


def _check(target: Target, name: str) -> None:
    """Raise InvalidRequest for what kubectl refuses: two values for one purpose, or half of a pair."""
    cluster, user = target.cluster, target.user
    if not cluster.get("server"):
        raise _unusable(f"cluster {name!r} has no server")
    for owner, whose, field_name in (
        (cluster, f"cluster {name!r}", "certificate-authority"),
        (user, f"user {target.user_name!r}", "client-certificate"),
        (user, f"user {target.user_name!r}", "client-key"),
    ):
        if owner.get(field_name) and owner.get(f"{field_name}-data"):
            raise _unusable(f"{whose} has both {field_name} and {field_name}-data")
    if cluster.get("insecure-skip-tls-verify") and data(cluster, "certificate-authority"):
        raise _unusable(f"cluster {name!r} has both a certificate-authority and insecure-skip-tls-verify")
    if _has(user, "client-certificate") and not _has(user, "client-key"):
        raise _unusable(f"user {target.user_name!r} has a client-certificate without a client-key")
    if user.get("token") and (user.get("username") or user.get("password")):
        raise _unusable(f"user {target.user_name!r} has both a token and a password")
    if user.get("exec") and user.get("auth-provider"):
        raise _unusable(f"user {target.user_name!r} has both exec and auth-provider")


def _has(owner: Raw, name: str) -> bool:
    return bool(owner.get(name) or owner.get(f"{name}-data"))


def _known(entries: Raw) -> str:
    names = ", ".join(sorted(entries)[:10])
    return f" (known: {names})" if names else ""


def _unusable(message: str) -> InvalidRequest:
    return InvalidRequest(f"cannot use the kubeconfig: {message}", hint=_HINT)
