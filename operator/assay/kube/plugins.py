"""Runs the credential plugins of a kubeconfig (`exec`), and reads the credential that they print.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from assay.api.errors import PermissionDenied
from assay.api.objects import Raw

_GROUP: Final = "client.authentication.k8s.io"
_VERSIONS: Final = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
#: The fields of a cluster that a plugin with provideClusterInfo receives.
_CLUSTER: Final = (
    *("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url"),
    "disable-compression",
)
_SHOWN: Final = 500


@dataclass(frozen=True)
class Credential:
    """The answer of a plugin: a token, a certificate with its key (PEM), or both. ``expires`` is None for never."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: datetime | None = None


def run(plugin: Raw, cluster: Raw) -> Credential:
    """Run a plugin and return its credential. Raises PermissionDenied, with what the plugin printed."""
    command, version = str(plugin.get("command") or ""), str(plugin.get("apiVersion") or "")
    if not command or version not in _VERSIONS:
        known = " or ".join(_VERSIONS)
        raise _failed(command, f"it needs a command and apiVersion {known}", "correct `exec` in the kubeconfig")
    interactive = _interactive(plugin, command)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it, as for kubectl
            [command, *map(str, plugin.get("args") or [])],
            env=_environment(plugin, cluster, version, interactive=interactive),
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # At a terminal, plugins tell users there what to do.
            stderr=None if interactive else subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())[:_SHOWN]
        raise _failed(command, str(error.strerror), hint or "install it, or correct `exec` in the kubeconfig") from None
    printed = (done.stderr or b"").decode(errors="replace")
    if done.returncode != 0:
        text = " ".join(printed.split())[-_SHOWN:]
        raise _failed(command, f"exit code {done.returncode}" + (f": {text}" if text else ""))
    if printed:
        sys.stderr.write(printed)
    return _credential(command, version, done.stdout)


def _interactive(plugin: Raw, command: str) -> bool:
    mode, terminal = plugin.get("interactiveMode") or "IfAvailable", sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise _failed(command, "it needs a terminal (interactiveMode: Always)", "run the command at a terminal")
    return bool(terminal and mode != "Never")


def _environment(plugin: Raw, cluster: Raw, version: str, *, interactive: bool) -> Mapping[str, str]:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {name: cluster[name] for name in _CLUSTER if cluster.get(name)}
        extensions = {each.get("name"): each.get("extension") for each in cluster.get("extensions") or []}
        if f"{_GROUP}/exec" in extensions:
            spec["cluster"]["config"] = extensions[f"{_GROUP}/exec"]
    about = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    added = {str(each.get("name")): str(each.get("value") or "") for each in plugin.get("env") or []}
    return {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(about)}


def _credential(command: str, version: str, printed: bytes) -> Credential:
    try:
        found = json.loads(printed)
        kind, answered, status = found["kind"], found["apiVersion"], found["status"]
        credential = Credential(
            str(status.get("token") or ""),
            str(status.get("clientCertificateData") or ""),
            str(status.get("clientKeyData") or ""),
            datetime.fromisoformat(status["expirationTimestamp"]) if status.get("expirationTimestamp") else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _failed(command, "it printed no ExecCredential with a status") from None
    if kind != "ExecCredential" or answered != version:
        raise _failed(command, f"it printed {kind} of {answered}, not ExecCredential of {version}")
    if not credential.token and not (credential.certificate and credential.key):
        raise _failed(command, "its credential has neither a token nor a certificate with its key")
    if bool(credential.certificate) != bool(credential.key):
        raise _failed(command, "its credential has a certificate without a key, or a key without a certificate")
    return credential


def _failed(command: str, problem: str, hint: str = "") -> PermissionDenied:
    return PermissionDenied(
        f"cannot authenticate: the credential plugin {command!r} of the kubeconfig failed: {problem}",
        hint=hint or "run it by itself, then try again; no request was sent",
    )
