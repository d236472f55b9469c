"""Building the programs of the cluster from pinned sources, once.

Every folder of tests/cluster/tools with a go.mod is a Go module whose `tool` lines name the programs. What
is built lies in the cache, in a folder whose name holds a hash of all that decides the result, so that a
change of a version builds anew and nothing else does. Later starts need no Go.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import fetched, paths
from tests.cluster.errors import ClusterError

PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class Module:
    """A Go module below tests/cluster/tools.

    `stamps` are variables that the linker sets to the version. `files` are kept beside the programs: they are
    paths inside of the module that gives the programs.
    """

    name: str
    programs: tuple[str, ...]
    versioned_by: str = ""
    stamps: tuple[str, ...] = ()
    extra_stamps: tuple[str, ...] = ()
    target: str = "tool"
    renamed: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        return paths.TOOLS_SOURCE / self.name

    @property
    def flags(self) -> list[str]:
        words = ["-s", "-w"]
        for stamp in self.stamps:
            words += ["-X", f"{stamp}={self.version}"]
        for stamp in self.extra_stamps:
            words += ["-X", stamp]
        return ["-trimpath", "-ldflags", " ".join(words)]

    @property
    def version(self) -> str:
        """The version of the module that gives the programs, as go.mod pins it."""
        if not self.versioned_by:
            return ""
        found = re.search(rf"^\s*(?:require )?{re.escape(self.versioned_by)} (v\S+)", self._manifest, re.MULTILINE)
        return found[1] if found else ""

    @property
    def go(self) -> tuple[int, int]:
        """The Go version that the module asks for."""
        found = re.search(r"^go (\d+)\.(\d+)", self._manifest, re.MULTILINE)
        assert found, f"{self.source}/go.mod names no Go version"
        return int(found[1]), int(found[2])

    @property
    def folder(self) -> Path:
        """Where the built programs lie."""
        digest = hashlib.sha256(" ".join([platform.machine(), *self.flags, *self.files]).encode())
        for file in sorted(self.source.iterdir()):
            digest.update(file.read_bytes())
        return paths.tools() / f"{self.name}-{digest.hexdigest()[:12]}"

    @property
    def _manifest(self) -> str:
        return (self.source / "go.mod").read_text()


_BASE, _CLIENT = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
KUBERNETES = Module(
    "kubernetes",
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    versioned_by="k8s.io/kubernetes",
    stamps=(f"{_BASE}.gitVersion", f"{_CLIENT}.gitVersion"),
    extra_stamps=(f"{_BASE}.gitMajor=1", f"{_BASE}.gitMinor=36"),
)
CONTAINERD = Module(
    "containerd",
    ("containerd", "containerd-shim-runc-v2", "ctr"),
    versioned_by="github.com/containerd/containerd/v2",
    stamps=("github.com/containerd/containerd/v2/version.Version",),
)
ETCD = Module("etcd", ("etcd",), versioned_by="go.etcd.io/etcd/server/v3", renamed=(("server", "etcd"),))
MINIO = Module("minio", ("minio",), versioned_by="github.com/minio/minio")
COREDNS = Module("coredns", ("coredns",), versioned_by="github.com/coredns/coredns")
PAUSE = Module("pause", ("pause",), target=".")

ARGOCD = Module(
    "argocd",
    ("argocd", "kustomize"),
    versioned_by="github.com/argoproj/argo-cd/v3",
    extra_stamps=("github.com/argoproj/argo-cd/v3/common.version=3.2.11",),
    renamed=(("cmd", "argocd"),),
    files=("manifests/install.yaml",),
)

_OAUTH2_PROXY = "github.com/oauth2-proxy/oauth2-proxy/v7"
OAUTH2_PROXY = Module(
    "oauth2-proxy", ("oauth2-proxy",), versioned_by=_OAUTH2_PROXY, stamps=(f"{_OAUTH2_PROXY}/pkg/version.VERSION",)
)
OIDC_PROVIDER = Module("oidc-provider", ("oidc-provider",), versioned_by="github.com/oauth2-proxy/mockoidc", target=".")

CONTROL_PLANE = (ETCD, KUBERNETES, MINIO)
NODE = (CONTAINERD, COREDNS, PAUSE)
MODULES = (*CONTROL_PLANE, *NODE, ARGOCD, OAUTH2_PROXY, OIDC_PROVIDER)


def ensure(*, with_node: bool = True) -> dict[str, str]:
    """Build what is missing, and return the path of every program by its name. Raises ClusterError."""
    programs: dict[str, str] = {}
    wanted = (*CONTROL_PLANE, *NODE) if with_node else CONTROL_PLANE
    for module in wanted:
        given = {name: fetched.asset(name) for name in module.programs}
        if not all(given.values()):
            built = _ensure_module(module)
            given = {name: given[name] or built / name for name in module.programs}
        programs |= {name: str(path) for name, path in given.items()}
    programs["kubectl"] = str(fetched.kubectl())
    return programs


def minio() -> Path:
    """The MinIO server, built if it is missing."""
    return _ensure_module(MINIO) / "minio"


def argocd() -> Path:
    """The folder with Argo CD's program, kustomize and install.yaml, built if it is missing."""
    return _ensure_module(ARGOCD)


def oauth2_proxy() -> Path:
    """The proxy that signs people in, built if it is missing."""
    return _ensure_module(OAUTH2_PROXY) / "oauth2-proxy"


def oidc_provider() -> Path:
    """An OpenID provider for tests, built if it is missing."""
    return _ensure_module(OIDC_PROVIDER) / "oidc-provider"


def _ensure_module(module: Module) -> Path:
    folder = module.folder
    if not folder.exists():
        with _building():
            if not folder.exists():
                _build(module, folder)
    return folder


def _build(module: Module, folder: Path) -> None:
    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOBIN": str(draft),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    # It yields to what else the machine does, such as the tests of other workers.
    command = ["nice", str(fetched.go(module.go)), "install", *module.flags, module.target]
    log = draft / "build.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=module.source, env=environment, stdout=output, stderr=output)
        try:
            code = _follow(module, process)
        finally:
            process.kill()
            process.wait()
    if code:
        raise ClusterError(
            f"building {module.name} {module.version} failed (`{' '.join(command)}` in {module.source}). "
            f"It needs Go {module.go[0]}.{module.go[1]} and a Go module proxy, or a filled module cache. "
            f"The end of what it said:\n{log.read_text(errors='replace')[-2000:]}"
        )
    for old, new in module.renamed:
        (draft / old).rename(draft / new)
    _keep_files(module, command[1], environment, draft)
    draft.rename(folder)
    _link(module, folder)


def _keep_files(module: Module, go: str, environment: dict[str, str], draft: Path) -> None:
    """Copy the module's files: the cache of modules may be gone when the programs start."""
    for name in module.files:
        where = [go, "list", "-m", "-f", "{{.Dir}}", module.versioned_by]
        origin = subprocess.run(where, cwd=module.source, env=environment, capture_output=True, text=True, check=True)
        shutil.copyfile(Path(origin.stdout.strip()) / name, draft / Path(name).name)


def _link(module: Module, folder: Path) -> None:
    """Let cache/bin show the newest programs, for people and for other tests."""
    links = paths.cache() / "bin"
    links.mkdir(exist_ok=True)
    for program in module.programs:
        draft = links / f"{program}.new"
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder / program)
        draft.replace(links / program)


def _follow(module: Module, process: subprocess.Popen[bytes]) -> int:
    """Say now and then that it is still building. Returns the exit code."""
    began = time.monotonic()
    what = f"{module.name} {module.version}".strip()
    place = f"{MODULES.index(module) + 1} of {len(MODULES)}"
    while True:
        seconds = time.monotonic() - began
        print(f"cluster: building {what} ({place}), {seconds:.0f} s", flush=True)
        try:
            return process.wait(timeout=PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _building() -> Iterator[None]:
    """One build at a time: each uses all processors."""
    paths.tools().mkdir(parents=True, exist_ok=True)
    with (paths.tools() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
