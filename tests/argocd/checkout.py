"""An Application as Argo CD's controller runs it: it renders a folder of a Git checkout, applies it, looks for drift.

It holds a token of its own, with which it reads and makes dry runs, and writes as the account that the AppProject names
(sync impersonation), as Argo CD 3.5 does; it is no administrator anywhere.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import yaml

from tests.argocd import diffing, lua
from tests.argocd.customizations import Customization
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

Raw = dict[str, Any]
Apply = Literal["client-side", "server-side"]

TRACKING = "argocd.argoproj.io/tracking-id"
WAVE = "argocd.argoproj.io/sync-wave"


class SyncFailed(Exception):
    """A sync that ended before its last wave: which object, and what its health says."""


class Checkout:
    """A Git repository that begins with the files of a folder."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        shutil.copytree(origin, folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("the first one")

    def git(self, *argv: str) -> str:
        """Run git as nobody in particular, whatever this machine's configuration says."""
        who = ("-c", "user.name=walter", "-c", "user.email=walter@example.com", "-c", "commit.gpgsign=false")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *who, *argv], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything as it is, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        return self.git("rev-parse", "HEAD")

    def change(self, path: str, old: str, new: str, message: str) -> str:
        """Replace a text that stands once in a file, and commit that."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))
        return self.commit(message)

    def revert(self, commit: str) -> str:
        """Undo a commit by another one."""
        self.git("revert", "--no-edit", commit)
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Application:
    """One Application of Argo CD."""

    name: str
    cluster: LocalCluster
    namespace: str
    #: With the controller's token.
    kubeconfig: Path
    #: As which service account of the namespace it writes.
    account: str
    source: Path
    apply_by: Apply = "server-side"

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """Call kubectl as the controller itself."""
        return self.cluster.kubectl(f"--kubeconfig={self.kubeconfig}", "-n", self.namespace, *argv, stdin=stdin)

    @property
    def as_account(self) -> str:
        """What has kubectl write as the Application's account."""
        return f"--as=system:serviceaccount:{self.namespace}:{self.account}"

    def manifests(self) -> list[Raw]:
        """Return what Git wants, by the wave, with the annotation by which Argo CD knows its objects."""
        text = self.cluster.kubectl("kustomize", str(self.source))
        return sorted((self._tracked(each) for each in yaml.safe_load_all(text)), key=_wave)

    def _tracked(self, body: Raw) -> Raw:
        metadata = body["metadata"]
        group = body["apiVersion"].rpartition("/")[0]
        known = f"{self.name}:{group}/{body['kind']}:{self.namespace}/{metadata['name']}"
        annotations = {**metadata.get("annotations", {}), TRACKING: known}
        return {**body, "metadata": {**metadata, "namespace": self.namespace, "annotations": annotations}}

    def sync(self) -> None:
        """Apply every wave; but for the last one wait until all of it is healthy. Raise SyncFailed when it degrades."""
        waves = [list(group) for _, group in groupby(self.manifests(), key=_wave)]
        for number, wave in enumerate(waves, 1):
            for body in wave:
                self._apply(body, self.as_account, server_side=self.apply_by == "server-side")
            if number < len(waves):
                for body in wave:
                    self._wait_until_healthy(body)

    def _apply(self, body: Raw, *more: str, server_side: bool = True) -> str:
        argv = ["apply", "--filename=-", *more]
        if server_side:
            argv += ["--server-side", "--force-conflicts", f"--field-manager={diffing.MANAGER}"]
        return self.kubectl(*argv, stdin=json.dumps(body))

    def _wait_until_healthy(self, body: Raw) -> None:
        found = self.wait(
            body["kind"], body["metadata"]["name"], lambda each: each["status"] in ("Healthy", "Degraded")
        )
        if found["status"] == "Degraded":
            raise SyncFailed(f"{body['kind']} {body['metadata']['name']}: {found.get('message')}")

    def live(self, kind: str, name: str) -> Raw:
        """Return an object as it is, with its field managers."""
        found: Raw = json.loads(self.kubectl("get", kind, name, "--output=json", "--show-managed-fields"))
        return found

    def health(self, kind: str, name: str) -> Raw:
        """Return what our Lua says of an object."""
        return lua.health(Customization(kind).health, self.live(kind, name))

    def wait(self, kind: str, name: str, holds: Callable[[Raw], bool], seconds: float = 20) -> Raw:
        """Wait for a health, and return it."""
        seen: list[Raw] = []

        def probe() -> bool:
            seen.append(self.health(kind, name))
            return holds(seen[-1])

        wait_for(f"health of {kind} {name}", probe, seconds=seconds, saw=lambda: seen[-1:])
        return seen[-1]

    def drift(self) -> dict[str, diffing.Differences]:
        """Return what each way of looking finds, by "<way> <object>"; {} when Git and live are the same."""
        found = {}
        for body in self.manifests():
            live, predicted = self._predicted(body)
            ways = {
                "three-way": diffing.three_way(body, live),
                "server-side": diffing.server_side(predicted, live),
                "server-side with mutations": diffing.server_side(predicted, live, mutations=True),
            }
            found |= {f"{way} {body['metadata']['name']}": each for way, each in ways.items() if each}
        return found

    def _predicted(self, body: Raw) -> tuple[Raw, Raw]:
        """Return an object, and what a dry run makes of it; nothing else was written in between."""
        kind, name = body["kind"], body["metadata"]["name"]
        pair: list[Raw] = []

        def unchanged() -> bool:
            live = self.live(kind, name)
            predicted = json.loads(self._apply(body, "--dry-run=server", "--output=json", "--show-managed-fields"))
            pair[:] = live, predicted
            again = self.live(kind, name)
            return bool(again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"])

        wait_for(f"{kind} {name} to be left alone", unchanged, seconds=10)
        live, predicted = pair
        return live, predicted


def _wave(body: Raw) -> int:
    return int(body["metadata"].get("annotations", {}).get(WAVE, "0"))
