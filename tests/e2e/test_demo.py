"""`make demo`, as a newcomer runs it: it ends with a table, and every command that it proposes works."""

import base64
import dataclasses
import json
import os
import re
import shlex
import subprocess
import threading
import urllib.request
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin

import pytest

from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import StoreDenied
from tests.cluster import charting, demo, people
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.e2e


class Shell:
    """A user's shell in a folder of theirs, with the exports that the demonstration prints and nothing of Assay's."""

    def __init__(self, shown: str, folder: Path) -> None:
        self.folder = folder
        text = shown.split("Next steps.")[1]
        lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
        self.exports = [line for line in lines if line.startswith("export ")]
        self.commands = [line for line in lines if line not in self.exports]

    def run(self, command: str, code: int = 0) -> str:
        """Paste a command; return what it prints, after checking its exit code."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "KUBE"))}
        script = "\n".join((*self.exports, command))
        done = subprocess.run(
            ["bash", "-uc", script], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def look(self, command: str) -> str:
        """Paste a command that serves pages; return what a browser finds at the address that it prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "KUBE"))}
        script = "\n".join((*self.exports, f"exec {command}"))
        environment["BROWSER"] = "true"  # a browser that opens nothing
        with subprocess.Popen(
            ["bash", "-uc", script], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = threading.Timer(60, process.kill)
            deadline.start()
            try:
                assert process.stderr is not None
                line = process.stderr.readline()
                address = re.search(r"http://\S+", line)
                assert address, f"it prints no address, but {line!r}"
                browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                onwards = browser.open(address[0], timeout=60).read().decode()
                page = re.search(r'href="([^"]+)"', onwards)
                assert page, onwards
                found: bytes = browser.open(urljoin(address[0], page[1]), timeout=60).read()
                return found.decode()
            finally:
                deadline.cancel()
                process.kill()


def test_demo_shows_the_best_run_and_commands_that_work(
    demonstration: str, clean_cluster: LocalCluster, tmp_path: Path
) -> None:
    assert "6/6 runs finished, best val_accuracy 0.9" in demonstration
    assert _helm_set(demonstration, "install") == _values(clean_cluster)

    best, worst = _check_table(_answer(demonstration, "assay runs -e digits --sort val_accuracy"))
    curves = _answer(demonstration, f"assay curves {best} {worst}")
    assert "val_accuracy" in curves
    assert re.search(rf"^a +{best} .*\nb +{worst} ", curves, re.MULTILINE), curves
    promoted = _answer(demonstration, "assay promote digits champion 1 --no-wait")
    assert "needs 1 more approval for champion: has 0 of 1" in promoted

    shell = Shell(demonstration, tmp_path)
    assert len(shell.exports) == 2
    expected = _expected(best, worst)
    *commands, console = shell.commands
    assert commands == list(expected), "every command is checked, in the order in which it is shown"
    assert console == "assay ui digits"
    page = shell.look(console)
    assert "6 of 6 runs have ended" in page
    assert best in page
    for command, (exit_code, words) in expected.items():
        answer = shell.run(command, exit_code)
        assert [word for word in words if word not in answer] == [], f"{command}\n{answer}"
    assert (tmp_path / "digits-v1" / "model.joblib").stat().st_size > 0

    _check_the_rest_of_the_documentation(shell, clean_cluster, best)


def _answer(shown: str, command: str) -> str:
    """Return what the demonstration shows as the output of a command."""
    assert f"\n$ {command}\n" in shown, shown
    return re.split(r"\n\n(?:\$|Next steps|\S+ is registered) ?", shown.split(f"\n$ {command}\n")[1])[0]


def _check_table(table: str) -> tuple[str, str]:
    """Check the table of six runs; return the names of the best and the worst."""
    header, *rows = table.strip().splitlines()
    titles = header.split()
    assert {"RUN", "PHASE", "learning_rate", "depth", "val_accuracy"} <= set(titles)
    values = [float(row.split()[titles.index("val_accuracy")]) for row in rows]
    assert len(rows) == 6
    assert values == sorted(values, reverse=True)
    return rows[0].split()[0], rows[-1].split()[0]


def _expected(best: str, worst: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return the commands that are proposed, each with its exit code and words of its output."""
    logs = f"kubectl -n {charting.NAMESPACE} logs deployment/{charting.DEPLOYMENT}"
    return {
        "assay runs -e digits --where 'metrics.val_accuracy.last > 0.95'": (0, (best,)),
        f"assay compare {best} {worst}": (0, ("params.learning_rate", "metrics.val_accuracy.best")),
        f"assay curves {best} {worst} --metric train_loss --metric val_loss --log-y": (0, (f"{best} val_loss",)),
        f"assay artifacts ls {best}": (0, ("model/model.joblib", "confusion_matrix.png")),
        f"kubectl describe run {best}": (0, ("JobComplete",)),
        "assay why digits.champion": (6, ("needs 1 more approval",)),
        "assay approve digits.v1 --for champion --as rita --yes": (0, ("approved for champion by rita",)),
        "assay models": (0, ("champion=v1",)),
        "assay pull digits.v1 digits-v1": (0, ("every byte verified",)),
        "assay lineage digits.v1": (0, ("approved by rita", f"made by run {best}")),
        "kubectl get experiments,runs,modelversions,modelaliases,jobs,pods": (0, ("6/6", "digits.champion")),
        logs: (0, ("leading with the Lease",)),
    }


def _check_the_rest_of_the_documentation(shell: Shell, cluster: LocalCluster, best: str) -> None:
    """Check what the documentation shows beside the next steps: the people, the trail, and the key that only reads."""
    for person in people.ROLES:
        assert best in shell.run(f"assay curves {best} --as {person}"), "the store is known to everybody"
    wait_for("the alias to be bound", lambda: "live since" in shell.run("assay why digits.champion"), seconds=60)
    assert "rita" in shell.run("assay history digits.champion --as alex")
    assert "intact" in shell.run("assay audit verify --as alex")
    shell.run("assay promote digits champion 1 --as rita --dry-run", 4)

    secret = json.loads(shell.run(f"kubectl get secret {people.SECRET} --output=json"))["data"]
    access_key, secret_key = (base64.b64decode(secret[name]).decode() for name in ("accessKey", "secretKey"))
    assert access_key != cluster.store.access_key
    reader = dataclasses.replace(cluster.store, access_key=access_key, secret_key=secret_key)
    store = ObjectStore(StoreConfig.from_environment(reader.environment()))
    with pytest.raises(StoreDenied):
        store.put_bytes("runs/demo/mine", b"")
    with pytest.raises(StoreDenied):
        list(store.list("runs/other/"))


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
