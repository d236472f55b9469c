"""Runs `assay` like a user, with a kubeconfig and, if needed, keys of the store."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import registry
from tests.cli import answering, running
from tests.cli.running import PROGRAM
from tests.conftest import Cluster

__all__ = ["PROGRAM", "Answer", "run", "run_process"]


@dataclass(frozen=True)
class Answer:
    """The output of a command, and its exit code."""

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
    """Run `assay` in this process, with additional environment variables."""
    return _answer(argv, running.in_process(argv, environment, stdin, cwd))


def run_process(*argv: str, environment: Mapping[str, str], stdin: str = "", cwd: Path | None = None) -> Answer:
    """Run `assay` as a separate process."""
    return _answer(argv, running.as_process(argv, environment, stdin, cwd))


def _answer(argv: Sequence[str], ended: running.Ended) -> Answer:
    code, out, err = ended
    assert "Traceback" not in err, err
    answering.check(argv, out)
    return Answer(code, out, err)


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
