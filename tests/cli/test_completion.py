"""Shell completion of commands, options and names in the cluster."""

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
from tests.cli.stand_in import StandIn
from tests.cluster import fetched
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

PROGRAMS = Path(sys.executable).parent
Complete = Callable[..., list[str]]


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    """Two runs, two versions and an alias."""
    stand_in = StandIn(governed, namespace)
    for name in ("digits-1", "digits-2"):
        stand_in.run(name)
    for number in (23, 24):
        stand_in.create(registry.model_version("digits", number, namespace=namespace))
    stand_in.create(registry.model_alias("digits", "champion", 24))
    return stand_in


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
    """The completions of bash for the words of a line."""

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
    """The completions that another shell gets for a line."""

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


def test_bash_completes_commands_and_names_in_the_cluster(in_bash: Complete, stand_in: StandIn) -> None:
    here = ("-n", stand_in.namespace)
    assert in_bash("pu") == ["pull"]
    assert in_bash("artifacts", "") == ["ls", "get", "verify"]
    assert in_bash("artifacts", "ls", *here, "digits-") == ["digits-1", "digits-2"]
    assert in_bash("artifacts", "ls", *here, "digits.") == ["digits.champion", "digits.v23", "digits.v24"]
    assert in_bash("pull", *here, "digits.v2") == ["digits.v23", "digits.v24"]
    assert in_bash("versions", *here, "d") == ["digits"]
    assert in_bash("pull", *here, "letters") == []
    assert stand_in.namespace in in_bash("pull", "--namespace", stand_in.namespace[:6])
    assert in_bash("pull", "--con") == ["--context"]
    assert stand_in.cluster.kubectl("config", "current-context").strip() in in_bash("pull", "--context", "")


def test_other_shells_complete_the_same(by_protocol: Complete, stand_in: StandIn) -> None:
    line = f"assay pull -n {stand_in.namespace} digits.c"
    assert by_protocol("fish", line) == ["digits.champion"]
    assert by_protocol("zsh", line) == ["_arguments '*: :((\"digits.champion\"))'"]
    assert by_protocol("fish", f"assay pull -n {stand_in.namespace} models:/digits") == [
        "models:/digits/23",
        "models:/digits/24",
        "models:/digits@champion",
    ]
    assert by_protocol("fish", f"assay artifacts ls -n {stand_in.namespace} digits@") == ["digits@champion"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str) -> None:
    answer = run(environment={"_ASSAY_COMPLETE": f"source_{shell}"})
    assert f"_ASSAY_COMPLETE=complete_{shell}" in answer.out


def test_completion_is_silent_about_errors(in_bash: Complete, stand_in: StandIn, tmp_path: Path) -> None:
    here = ("-n", stand_in.namespace)
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


def test_kubectl_finds_the_plugin_and_its_completion(governed: Cluster, stand_in: StandIn) -> None:
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
    assert kubectl("assay", "versions", "digits", "-n", stand_in.namespace).splitlines()[0].startswith("VERSION")
    commands = kubectl("__complete", "assay", "pu").splitlines()
    assert commands[0].startswith("pull\t")
    assert commands[-1] == ":4"
    names = kubectl("__complete", "assay", "pull", "-n", stand_in.namespace, "digits.v").splitlines()
    assert names == ["digits.v23", "digits.v24", ":4"]
    assert kubectl("__complete", "assay", "pull", "-n", stand_in.namespace, "").splitlines()[:1] == ["digits.champion"]
    # Where no names are known, files may be meant.
    assert kubectl("__complete", "assay", "validate", "exp").splitlines() == [":0"]
