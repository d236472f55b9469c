"""The namespaces of a cluster: what its processes see of this machine, and that they change nothing of it.

Linux ends every process of a PID namespace when its first process ends, and a mount or network namespace
vanishes with its last process. So whatever happens to the supervisor, nothing of the cluster survives it
but files and cgroups, which the launcher removes.
"""

import ctypes
import os
import signal
import tempfile
from pathlib import Path

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1

# Values that the kubelet insists on. It finds them, and so leaves the machine's own alone.
KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
NETWORK_SYSCTLS = {"net/ipv4/ip_forward": "1", "net/ipv4/ip_unprivileged_port_start": "1024"}
OWN_FOLDERS = {"kubelet": "/var/lib/kubelet", "containerd": "/var/lib/containerd"}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process (or, for CLONE_NEWPID, its next children) into new namespaces."""
    if _libc.unshare(flags):
        reason = os.strerror(ctypes.get_errno())
        raise ClusterError(f"no new namespaces on this machine ({reason}): the local cluster needs root")


def die_with_parent() -> None:
    """Have the kernel kill this process as soon as its parent is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter_mounts(folder: Path, logs: Path) -> str:
    """Give this process, already in a new mount namespace, the cluster's view of the file system.

    Returns the snapshotter that containerd shall use here.
    """
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    _mount_run(folder, logs)
    for hidden in ("/etc", "/opt", "/var"):
        _overlay(hidden)
    for own, target in OWN_FOLDERS.items():
        (paths.INSIDE / own).mkdir()
        Path(target).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", paths.INSIDE / own, target)
    _pretend_sysctls()
    # The kubelet wants mounts to reach containers; they still cannot leave this namespace.
    run("mount", "--make-rshared", "/")
    return "overlayfs" if _overlay_works(paths.INSIDE) else "native"


def _mount_run(folder: Path, logs: Path) -> None:
    """An empty /run, and the cluster's folders in it, wherever they were before (even below /run)."""
    handles = {paths.INSIDE: os.open(folder, os.O_PATH), paths.INSIDE_LOGS: os.open(logs, os.O_PATH)}
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for target, handle in handles.items():
        target.mkdir()
        run("mount", "--bind", f"/proc/self/fd/{handle}", target, pass_fds=[handle])
        os.close(handle)


def _overlay(target: str) -> None:
    """Show the host's folder, and keep what is written to it in memory, to vanish with the cluster."""
    layers = Path("/run/overlays") / target.strip("/")
    for layer in ("upper", "work"):
        (layers / layer).mkdir(parents=True)
    options = f"lowerdir={target},upperdir={layers}/upper,workdir={layers}/work"
    run("mount", "-t", "overlay", "-o", options, "overlay", target)


def _overlay_works(folder: Path) -> bool:
    """Whether an overlay can have its layers in `folder` (it cannot where `folder` is itself an overlay)."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        base = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (base / part).mkdir()
        options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        try:
            run("mount", "-t", "overlay", "-o", options, "overlay", base / "merged")
        except ClusterError:
            return False
        run("umount", base / "merged")
    return True


def _pretend_sysctls() -> None:
    for name, value in KUBELET_SYSCTLS.items():
        stand_in = Path("/run/sysctls") / name
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(value + "\n")
        if Path("/proc/sys", name).exists():
            run("mount", "--bind", stand_in, Path("/proc/sys", name))


def use_resolver(address: str) -> None:
    """Have programs of this mount namespace ask the DNS server at `address`."""
    path = Path("/etc/resolv.conf")
    path.unlink(missing_ok=True)
    path.write_text(f"nameserver {address}\n")


def set_network_sysctls() -> None:
    """Settings of this network namespace alone."""
    for name, value in NETWORK_SYSCTLS.items():
        Path("/proc/sys", name).write_text(value)
