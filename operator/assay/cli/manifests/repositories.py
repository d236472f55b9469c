"""The source of code according to git: repository address without secrets, commit, uncommitted changes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_SECONDS = 10


@dataclass(frozen=True)
class Source:
    """The fields of `spec.template.source`. `path` is the folder in the repository, "" for its root."""

    repository: str
    revision: str
    path: str
    dirty: bool


def source(folder: Path) -> Source | None:
    """Return the source of the code in a folder; None without git, a commit or a remote."""
    remote = _git(folder, "remote", "get-url", "origin")
    revision = _git(folder, "rev-parse", "HEAD")
    if not remote or not revision:
        return None
    path = _git(folder, "rev-parse", "--show-prefix").rstrip("/")
    # Manifests beside the code are not part of it.
    changes = _git(folder, "status", "--porcelain", "--", ".", ":(exclude)*.yaml")
    return Source(without_secrets(remote), revision, path, bool(changes))


def _git(folder: Path, *argv: str) -> str:
    """Return the output of git, "" if it fails."""
    command = ["git", "-C", str(folder), *argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def without_secrets(address: str) -> str:
    """Return a repository's address without password or token; git@host:path has neither."""
    parts = urlsplit(address)
    if not parts.scheme or not parts.netloc:
        return address
    user, _, host = parts.netloc.rpartition("@")
    # In an HTTP address the user may itself be a token.
    login = f"{user.partition(':')[0]}@" if user and parts.scheme == "ssh" else ""
    return urlunsplit((parts.scheme, login + host, parts.path, "", ""))
