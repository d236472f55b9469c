"""What the distribution has to provide, and how it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import prometheus
from tests.cluster.configs import CNI_PROGRAMS
from tests.cluster.errors import ClusterError

# Program or file: Debian package.
CONTROL_PLANE = {"ip": "iproute2", "nsenter": "util-linux", "mount": "mount", "openssl": "openssl"}
NODE = {
    "runc": "runc",
    "iptables": "iptables",
    f"{CNI_PROGRAMS}/ptp": "containernetworking-plugins",
}
#: Pages are tested in it. A cluster does without.
BROWSER = {"chromium": "chromium"}
#: Argo CD reads repositories with git and keeps its cache in redis.
GITOPS = {"git": "git", "redis-server": "redis-server"}
IMAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "/bin/busybox": "busybox-static"}


def missing(wanted: dict[str, str]) -> list[str]:
    """The packages that have to be installed to get everything in `wanted`."""
    return sorted({package for program, package in wanted.items() if not _present(program)})


def _present(program: str) -> bool:
    return Path(program).exists() if "/" in program else shutil.which(program) is not None


def check(*, with_node: bool) -> None:
    """Raise ClusterError when something is missing that a cluster needs to run."""
    lacking = missing(CONTROL_PLANE | (NODE if with_node else {}))
    if lacking:
        raise ClusterError(
            f"missing packages: {' '.join(lacking)}. Install them with `python -m tests.cluster packages` "
            f"(Debian, as root) or `apt-get install {' '.join(lacking)}`"
        )


def install(more: dict[str, str] | None = None) -> None:
    """Install with apt what is missing; does nothing and needs no network when nothing is."""
    provide(CONTROL_PLANE | NODE | IMAGES | (more or {}))
    prometheus.fetch()


def provide(wanted: dict[str, str]) -> None:
    """Install what is missing of `wanted`."""
    lacking = missing(wanted)
    if lacking:
        _install(lacking)


def _install(lacking: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError(f"no apt-get here; install what provides {', '.join(lacking)} by other means")
    print(f"installing {' '.join(lacking)}", flush=True)
    # In this runlevel Debian's packages start no service.
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking],
    ):
        done = subprocess.run(command, check=False, env=environment)
        if done.returncode:
            raise ClusterError(f"`{' '.join(command)}` failed; as root, and with a package mirror, it should not")
