"""The cluster of a session, the people, and what there is before it begins.

The people have the chart's roles and nothing else, and of the store the keys that docs/cli.md tells a platform team to
make: they read. What they type runs in a folder of their own.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import people
from tests.cluster.charting import Release
from tests.cluster.errors import ClusterError
from tests.cluster.paths import CHECKOUT
from tests.cluster.waiting import wait_for
from tests.sessions import terminal

STEP_SECONDS = 600
_EXAMPLES = CHECKOUT / "examples"
_GIT = ("git", "-c", "user.name=dora", "-c", "user.email=dora@example.com")
_KEPT = ("LANG", "TMPDIR")


@dataclass(frozen=True)
class Stage:
    """A release of Assay, and a folder in which everybody has one of their own."""

    release: Release
    folder: Path
    namespace: str = "vision"

    def prepare(self) -> None:
        """Make the namespace, the people and the server, and a first version, which is live."""
        self.release.cluster.create_namespace(self.namespace)
        people.set_up(self.release, self.namespace)
        self._kubectl("apply", f"--filename={_EXAMPLES / 'registry/policy.yaml'}")
        for manifest in yaml.safe_load_all((_EXAMPLES / "registry/deployment.yaml").read_text()):
            if manifest["kind"] == "Deployment":
                manifest["spec"]["replicas"] = 1
            self._kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
        for person in people.ROLES:
            self._welcome(person)
        self._write_code()
        self._train_the_first()

    def play(self, person: str, command: str) -> tuple[int, str]:
        """Run what a person types; return the exit code and their screen."""
        return terminal.run(
            command, environment=self._environment(person), folder=self.folder / person / "digits", seconds=STEP_SECONDS
        )

    def _must(self, person: str, command: str) -> None:
        code, screen = self.play(person, command)
        if code:
            raise ClusterError(f"{person}: {command}\nexit code {code}\n{screen}")

    def _kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self.release.cluster.kubectl(f"--namespace={self.namespace}", *argv, stdin=stdin)

    # People

    def _welcome(self, person: str) -> None:
        """Give a person a home, with a kubeconfig and the two programs."""
        home = self.folder / person
        for folder in (".kube", "bin", "digits"):
            (home / folder).mkdir(parents=True)
        (home / "bin/kubectl").symlink_to(self.release.cluster.spec.programs["kubectl"])
        (home / "bin/assay").symlink_to(Path(sys.executable).parent / "assay")
        shutil.copy(self.release.cluster.kubeconfig_for(person), home / ".kube/config")
        self._must(person, f"kubectl config set-context --current --namespace={self.namespace}")

    def _environment(self, person: str) -> dict[str, str]:
        home = self.folder / person
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, "HOME": str(home), "PATH": os.pathsep.join((str(home / "bin"), os.environ["PATH"]))}

    # What there is before

    def _write_code(self) -> None:
        """Put the training script into a repository of dora's, always in the same commit."""
        folder = self.folder / "dora/digits"
        for name in ("train.py", "Dockerfile", "requirements.txt"):
            shutil.copy(_EXAMPLES / "quickstart" / name, folder)
        moment = "2026-03-02T08:00:00Z"
        dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        for argv in (
            ("init", "--quiet"),
            ("remote", "add", "origin", "https://git.example.com/vision/digits"),
            ("add", "--all"),
            ("commit", "--quiet", "--message=Gradient boosting"),
        ):
            subprocess.run([*_GIT, *argv], cwd=folder, env={**os.environ, **dates}, check=True)

    def _train_the_first(self) -> None:
        text = (_EXAMPLES / "registry/experiment.yaml").read_text()
        text = text.replace("digits-boosting", "digits-first").replace("[0.3, 0.1]", "[0.1]")
        (self.folder / "dora/first.yaml").write_text(text)
        self._must("dora", "kubectl apply -f ../first.yaml && assay watch digits-first")
        wait_for("the first version", self._first_is_ready, seconds=120)
        self._must("rita", "assay approve digits.v1 --for champion --yes")
        self._must("walter", "assay promote digits champion 1 -m 'the first one'")

    def _first_is_ready(self) -> bool:
        return self._kubectl("get", "mv", "digits.v1", "-o", "jsonpath={.status.phase}") == "Ready"
