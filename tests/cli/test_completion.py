"""Completion as shells ask for it: the commands, their options, and names that are in the cluster at this moment."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import registry
from tests.cli.conftest import run
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.told import Told
from tests.cluster import fetched
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

PROGRAMS = Path(sys.executable).parent
Complete = Callable[..., list[str]]


@pytest.fixture
def told(governed: Cluster, namespace: str) -> Told:
    """Two runs, two versions and an alias."""
    told = Told(governed, namespace)
    for name in ("digits-1", "digits-2"):
        told.run(name)
    for number in (23, 24):
        told.create(registry.model_version("digits", number, namespace=namespace))
    told.create(registry.model_alias("digits", "champion", 24))
    return told


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "KUBECONFIG": str(cluster.kubeconfig), **more}


BASH = """
eval "$(_ASSAY_COMPLETE=source_bash assay)"
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
$(complete -p assay | sed 's/.*-F \\([^ ]*\\).*/\\1/') assay "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def in_bash(governed: Cluster) -> Complete:
    """What bash offers for the words of a line, the last one being begun."""

    def complete(*words: str, **more: str) -> list[str]:
        argv = ["bash", "--norc", "-c", BASH, "bash", "assay", *words]
        done = subprocess.run(
            argv, env=environment(governed, **more), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return complete


@pytest.fixture
def by_protocol(governed: Cluster) -> Complete:
    """What another shell is told for a line."""

    def complete(shell: str, line: str) -> list[str]:
        asked = {"_ASSAY_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
        argv = [str(PROGRAMS / "assay")]
        done = subprocess.run(
            argv,
            env=environment(governed, _TYPER_COMPLETE_FISH_ACTION="get-args", **asked),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return complete


def test_bash_completes_commands_and_live_names(in_bash: Complete, told: Told) -> None:
    here = ("-n", told.namespace)
    assert in_bash("pu") == ["pull"]
    assert in_bash("artifacts", "") == ["ls", "get", "verify"]
    assert in_bash("artifacts", "ls", *here, "digits-") == ["digits-1", "digits-2"]
    assert in_bash("artifacts", "ls", *here, "digits.") == ["digits.champion", "digits.v23", "digits.v24"]
    assert in_bash("pull", *here, "digits.v2") == ["digits.v23", "digits.v24"]
    assert in_bash("versions", *here, "d") == ["digits"]
    assert in_bash("pull", *here, "letters") == []
    assert told.namespace in in_bash("pull", "--namespace", told.namespace[:6])
    assert in_bash("pull", "--con") == ["--context"]
    assert told.cluster.kubectl("config", "current-context").strip() in in_bash("pull", "--context", "")


def test_other_shells_are_told_the_same(by_protocol: Complete, told: Told) -> None:
    line = f"assay pull -n {told.namespace} digits.c"
    assert by_protocol("fish", line) == ["digits.champion"]
    assert by_protocol("zsh", line) == ["_arguments '*: :((\"digits.champion\"))'"]
    assert by_protocol("fish", f"assay pull -n {told.namespace} models:/digits") == [
        "models:/digits/23",
        "models:/digits/24",
        "models:/digits@champion",
    ]
    assert by_protocol("fish", f"assay artifacts ls -n {told.namespace} digits@") == ["digits@champion"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str) -> None:
    answer = run(environment={"_ASSAY_COMPLETE": f"source_{shell}"})
    assert f"_ASSAY_COMPLETE=complete_{shell}" in answer.out


def test_what_goes_wrong_disturbs_nobody(in_bash: Complete, told: Told, tmp_path: Path) -> None:
    here = ("-n", told.namespace)
    assert in_bash("pull", *here, "--as", "nobody", "dig") == []
    assert in_bash("pull", *here, "--context", "none", "dig") == []
    assert in_bash("pull", *here, "dig", KUBECONFIG=str(tmp_path / "none")) == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "config"
        config.write_text(
            "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {}}],"
            f" clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{silent.getsockname()[1]}'}}}}],"
            " contexts: [{name: x, context: {cluster: x, user: x}}]}"
        )
        assert in_bash("pull", *here, "dig", KUBECONFIG=str(config)) == []


def test_kubectl_finds_the_plugin_and_its_completion(governed: Cluster, told: Told) -> None:
    def kubectl(*argv: str) -> str:
        done = subprocess.run(
            [str(fetched.kubectl()), *argv],
            env=environment(governed),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert kubectl("assay", "--help").startswith("Usage: kubectl assay ")
    assert kubectl("assay", "versions", "digits", "-n", told.namespace).splitlines()[0].startswith("VERSION")
    commands = kubectl("__complete", "assay", "pu").splitlines()
    assert commands[0].startswith("pull\t")
    assert commands[-1] == ":4"
    names = kubectl("__complete", "assay", "pull", "-n", told.namespace, "digits.v").splitlines()
    assert names == ["digits.v23", "digits.v24", ":4"]
    assert kubectl("__complete", "assay", "pull", "-n", told.namespace, "").splitlines()[:1] == ["digits.champion"]
    # Where no names are known, files may be meant.
    assert kubectl("__complete", "assay", "validate", "exp").splitlines() == [":0"]
