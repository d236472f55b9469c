"""`make demo`, as a newcomer runs it: it ends with a table, and every command that it proposes works."""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster import charting, demo, paths
from tests.cluster.local import LocalCluster

pytestmark = pytest.mark.e2e


def _shell(command: str) -> str:
    done = subprocess.run(["bash", "-euc", command], cwd=paths.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_demo_shows_the_best_run_and_commands_that_work(
    clean_cluster: LocalCluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = demo.main(["--name", clean_cluster.name])
    shown = capsys.readouterr()
    assert code == 0, shown.err + shown.out
    assert "6/6 runs finished, best val_accuracy 0.9" in shown.out
    assert _helm_set(shown.out, "install") == _values(clean_cluster)

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
    assert len(commands) == 4
    answers = [_shell(f"{export}\n{command}") for command in commands]
    assert "6/6" in answers[0]
    assert "JobComplete" in answers[1]
    assert "leading, by the Lease" in answers[2]
    assert "grid" in answers[3]


def test_demo_upgrades_and_says_why_the_operator_does_not_start(
    clean_cluster: LocalCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"extraEnv": [{"name": "ASSAY_OBSERVE_SECONDS", "value": "nonsense"}]}
    values = charting.Release.values
    with monkeypatch.context() as patched:
        patched.setattr(charting.Release, "values", lambda release, **more: values(release, **more, **wrong))
        assert demo.main(["--name", clean_cluster.name]) == 1
    said = capsys.readouterr().err
    assert "error: the operator did not start: assay-operator-" in said
    assert "ASSAY_OBSERVE_SECONDS is 'nonsense'" in said
    assert f"logs:  {clean_cluster.logs}" in said

    again = demo.Demo(clean_cluster)
    again.prepare()
    assert _helm_set(capsys.readouterr().out, "upgrade") == _values(clean_cluster)
    history = again.release.helm.history(charting.NAME)
    assert [(each["revision"], each["status"]) for each in history][-1] == (3, "deployed")


def _helm_set(shown: str, verb: str) -> dict[str, str]:
    """Return what the demonstration says that it sets."""
    command = re.search(rf"helm {verb} assay charts/assay -n assay-system \\\n(?: .*\\\n)* .*", shown)
    assert command, shown
    words = shlex.split(command[0].replace("\\\n", ""))
    return dict(value.split("=", 1) for option, value in pairwise(words) if option == "--set")


def _values(cluster: LocalCluster) -> dict[str, str]:
    """Return the values of the release as Helm has them, by the names that `--set` goes by."""
    found = charting.Release(cluster).helm.get_values(charting.NAME)
    return {f"{part}.{name}": value for part, values in found.items() for name, value in values.items()}
