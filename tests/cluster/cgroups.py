"""The cgroup of a cluster's pods: made before the kubelet starts, removed when all processes are gone.

Works with version 1 (one hierarchy for each controller) and version 2 (one for all).
"""

import contextlib
from functools import partial
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

ROOT = Path("/sys/fs/cgroup")
NEEDED = {"cpu", "memory", "pids"}


def hierarchies() -> list[Path]:
    """The roots of all cgroup hierarchies. Raises ClusterError where there is none to be written."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    found = [path for path in ROOT.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]
    if not found:
        raise ClusterError(f"{ROOT} holds no cgroup hierarchy; mount one, or use --cluster=kind or current")
    return found


def create(name: str) -> None:
    """Make the cgroup `name` ("/assay-x") in every hierarchy."""
    for root in hierarchies():
        if root == ROOT:
            _delegate(root)
        (root / name.strip("/")).mkdir(exist_ok=True)


def _delegate(root: Path) -> None:
    """Version 2: let children of `root` have its controllers."""
    control = root / "cgroup.subtree_control"
    for controller in (root / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            control.write_text(f"+{controller}")
    lacking = NEEDED - set(control.read_text().split())
    if lacking:
        raise ClusterError(
            f"the cgroup controllers {', '.join(sorted(lacking))} are not available below {root}; "
            "in a container, run it with the host's cgroup namespace"
        )


def remove(name: str) -> None:
    """Remove the cgroup `name` with all below it, once the kernel has let go of its last process."""
    for root in hierarchies():
        top = root / name.strip("/")
        if top.exists():
            wait_for(f"removal of the cgroup {top}", partial(_remove_tree, top), seconds=20)


def _remove_tree(top: Path) -> bool:
    folders = [top, *(path for path in top.rglob("*") if path.is_dir())]
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        folder.rmdir()
    return not top.exists()
