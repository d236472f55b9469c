"""`make demo`, as a newcomer runs it: it ends with a table, and every command that it proposes works."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import demo, paths
from tests.cluster.local import LocalCluster

pytestmark = pytest.mark.e2e


def _shell(command: str) -> str:
    done = subprocess.run(["bash", "-euc", command], cwd=paths.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def own_cluster(local_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Return a second cluster, for the demonstration brings its own operator."""
    with LocalCluster(f"demo-{os.getpid()}") as cluster:
        yield cluster


def test_demo_shows_the_best_run_and_commands_that_work(
    own_cluster: LocalCluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = demo.main(["--name", own_cluster.name])
    shown = capsys.readouterr()
    assert code == 0, shown.err + shown.out
    assert "6/6 runs finished, best val_accuracy 0.9" in shown.out

    table = re.search(r"^RUN .*?\n\n", shown.out, re.MULTILINE | re.DOTALL)
    assert table
    header, *rows = table[0].strip().splitlines()
    assert header.split() == ["RUN", "LEARNING_RATE", "DEPTH", "VAL_ACCURACY", "DURATION", "PHASE"]
    values = [float(row.split()[3]) for row in rows]
    assert len(rows) == 6
    assert values == sorted(values, reverse=True)
    assert f"Best run:   {rows[0].split()[0]}, val_accuracy" in shown.out

    copy = re.search(r"^ +(\S*rclone --config .*?) best-run$", shown.out, re.MULTILINE | re.DOTALL)
    assert copy
    _shell(f"{copy[1]} {tmp_path}")
    assert (tmp_path / "model" / "model.joblib").stat().st_size > 0
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 0

    export, *commands = [line.strip() for line in shown.out.split("Next:\n")[1].splitlines() if line.strip()]
    assert len(commands) == 3
    answers = [_shell(f"{export}\n{command}") for command in commands]
    assert "6/6" in answers[0]
    assert "JobComplete" in answers[1]
    assert "grid" in answers[2]


def test_demo_says_where_the_logs_are_when_the_operator_does_not_start(
    own_cluster: LocalCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_STORE_CREDENTIALS_MODE", "nonsense")
    assert demo.main(["--name", own_cluster.name]) == 1
    said = capsys.readouterr().err
    assert "error: the operator did not start" in said
    assert "ASSAY_STORE_CREDENTIALS_MODE is 'nonsense'" in said
    assert f"logs:  {own_cluster.logs}" in said
