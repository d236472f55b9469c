"""Where code comes from, as git knows it: the repository's address without secrets, the commit, changes since."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_SECONDS = 10


@dataclass(frozen=True)
class Source:
    """As `spec.template.source` has it. `path` is the folder in the repository, "" for its top."""

    repository: str
    revision: str
    path: str
    dirty: bool


def source(folder: Path) -> Source | None:
    """Return where the code in a folder comes from; None without git, a commit or a remote."""
    remote = _git(folder, "remote", "get-url", "origin")
    revision = _git(folder, "rev-parse", "HEAD")
    if not remote or not revision:
        return None
    path = _git(folder, "rev-parse", "--show-prefix").rstrip("/")
    # The manifest that is written beside the code is no part of it.
    changes = _git(folder, "status", "--porcelain", "--", ".", ":(exclude)*.yaml")
    return Source(without_secrets(remote), revision, path, bool(changes))


def _git(folder: Path, *argv: str) -> str:
    """What git prints, "" when it cannot say."""
    command = ["git", "-C", str(folder), *argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def without_secrets(address: str) -> str:
    """Return a repository's address without a password or token; git@host:path has none."""
    parts = urlsplit(address)
    if not parts.scheme or not parts.netloc:
        return address
    user, _, host = parts.netloc.rpartition("@")
    # Of an address by HTTP the user may be the token itself.
    kept = f"{user.partition(':')[0]}@" if user and parts.scheme == "ssh" else ""
    return urlunsplit((parts.scheme, kept + host, parts.path, "", ""))
