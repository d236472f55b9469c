"""`assay` as people run it: a process of its own, with a kubeconfig and, where it is needed, keys of the store."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import registry
from tests.cli import answering
from tests.conftest import Cluster

_CLEARED = ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "FORCE_COLOR", "NO_COLOR", "PYTHONDONTWRITEBYTECODE")


PROGRAM = str(Path(sys.executable).parent / "assay")


@dataclass(frozen=True)
class Answer:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The output as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The output's lines."""
        assert self.code == 0, self.err
        return self.out.splitlines()


def run(*argv: str, environment: Mapping[str, str], stdin: str = "", cwd: Path | None = None) -> Answer:
    """Run `assay` with the environment's variables beside this process's own."""
    kept = {name: value for name, value in os.environ.items() if name not in _CLEARED and "ASSAY_" not in name}
    done = subprocess.run(
        [PROGRAM, *argv],
        env={**kept, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    assert "Traceback" not in done.stderr, done.stderr
    answering.check(argv, done.stdout)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def governed(control_plane: Cluster) -> Cluster:
    """A cluster with the kinds and the admission policies in force, and no operator."""
    registry.install_policies(control_plane)
    return control_plane


@pytest.fixture
def assay(governed: Cluster, namespace: str) -> Callable[..., Answer]:
    """`assay …` in the test's namespace, as the administrator, with the keys of the cluster's store."""
    environment = {"KUBECONFIG": str(governed.kubeconfig), **governed.store.environment()}

    def command(*argv: str, stdin: str = "", cwd: Path | None = None, **more: str) -> Answer:
        return run(*argv, "--namespace", namespace, environment={**environment, **more}, stdin=stdin, cwd=cwd)

    return command
