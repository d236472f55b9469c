"""docs/gitops.md and the README of the example, followed word by word with a real Argo CD."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import operators
from tests.argocd.real import Application, Repository
from tests.argocd.stages import ALIAS, GITOPS
from tests.cluster import calls
from tests.cluster.argocd import NAMESPACE as ARGO_CD
from tests.cluster.argocd import ArgoCd
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.integration.test_registry import Models

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
ROOT = GITOPS.parents[1]
PAGE, README = (ROOT / "docs/gitops.md").read_text(), (GITOPS / "README.md").read_text()
NAMESPACE, SET = "ml-prod", "models"
#: The one thing that is not typed as it stands: the address of the Git server.
PLACEHOLDER = "https://git.example.com/ml/models"
VERSION = "digits/prod/version.yaml"
V1, V2 = "version: 1\n  reason: the first one", "version: 2\n  reason: more of the night"


def blocks(text: str, section: str) -> list[str]:
    """Return the shell blocks of a section."""
    (found,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^    ", "", each, flags=re.MULTILINE) for each in re.findall(r"```sh\n(.*?)```", found, re.DOTALL)]


class Reader:
    """Somebody who follows the page: a copy of the example, a checkout, and a shell for each person."""

    def __init__(self, argo_cd: ArgoCd, folder: Path) -> None:
        self.argo_cd, self._folder = argo_cd, folder
        self.repository = Repository(argo_cd, folder / "checkout", SET, GITOPS / "models")
        self.repository.track()
        required = "approvals: {required: 2}"
        trusting = f"{required}\n  evidence: {{provenanceVerified: false}}"
        self.repository.change("digits/prod/policy.yaml", required, trusting, "these versions come from elsewhere")
        self.example = folder / "examples/gitops"
        shutil.copytree(GITOPS, self.example)
        shutil.copytree(ROOT / "charts/assay/argocd", folder / "charts/assay/argocd")
        for file in (self.example / "argocd").iterdir():
            file.write_text(file.read_text().replace(PLACEHOLDER, self.repository.url))
        self.application = Application(argo_cd, "digits-prod")
        self.models = Models(argo_cd.cluster, NAMESPACE)

    def type(self, commands: str, who: str, folder: Path | None = None) -> str:
        """Run a block as a person, whose current namespace is the example's."""
        config = self.argo_cd.cluster.kubeconfig_for(who, ["system:masters"])
        body = json.loads(config.read_text())
        body["contexts"][0]["context"]["namespace"] = NAMESPACE
        config.write_text(json.dumps(body))
        kubectl = Path(self.argo_cd.cluster.spec.programs["kubectl"]).parent
        environment = {
            **os.environ,
            "PATH": f"{kubectl}:{os.environ['PATH']}",
            "KUBECONFIG": str(config),
            "GIT_EDITOR": "true",
            **{f"GIT_{role}_{what}": who for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        script = ["bash", "-euo", "pipefail", "-c", commands]
        where = folder or self._folder
        done = subprocess.run(script, cwd=where, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def look(self) -> None:
        """Do what the webhook of the Git server does."""
        refresh = "argocd.argoproj.io/application-set-refresh=true"
        self.argo_cd.kubectl("annotate", "--overwrite", "applicationset", SET, refresh)
        if self.exists():
            try:
                self.application.ask_to_refresh()
            except ClusterError:
                if self.exists():  # otherwise the ApplicationSet has just removed it
                    raise

    def exists(self) -> bool:
        """Whether the ApplicationSet has made the Application."""
        return bool(calls.one(self.argo_cd.cluster, ARGO_CD, "applications", "digits-prod"))

    def shows(self, health: str, message: str) -> None:
        """Wait until Argo CD shows both, and the alias has that message in the tree."""

        def holds(app: Raw) -> bool:
            said = self.application.messages().get(f"ModelAlias/{ALIAS}")
            status = app["status"]
            return (status["health"]["status"], status["sync"]["status"], said) == (health, "Synced", message)

        self.application.wait(f"{health}: {message}", holds, seconds=60)


@pytest.fixture
def reader(argo_cd: ArgoCd, operator: operators.OperatorProcess, tmp_path: Path) -> Iterator[Reader]:
    assert operator.running, operator.tail()
    reader = Reader(argo_cd, tmp_path)
    yield reader
    argo_cd.kubectl("delete", "applicationset", SET, "--ignore-not-found", "--wait=true")
    reader.application.delete()
    argo_cd.cluster.delete_namespace(NAMESPACE)


def test_the_documented_steps_work_as_written(reader: Reader) -> None:
    (health, _) = blocks(PAGE, "Health")
    reader.type(health, "paula")
    (once,) = blocks(README, "Set up once, as the platform team")
    reader.type(once, "paula", reader.example)
    (shown,) = blocks(README, "Show what a sync would apply")
    assert "kind: ModelAlias" in reader.type(shown, "paula", reader.example)
    reader.models.store.ensure_bucket()
    for version, accuracy in ((1, 0.95), (2, 0.97)):
        provenance = {"metrics": {"val_accuracy": {"last": accuracy}}}
        reader.models.register("digits", version, b"v%d" % version, provenance=provenance)

    reader.look()
    wait_for("the ApplicationSet to make the Application", reader.exists, seconds=60)
    (approve, back) = blocks(PAGE, "A promotion and a revert")
    for user in ("rita", "rolf"):
        first = approve.replace("digits.v2", "digits.v1").replace("rita", user)
        wait_for("the version", lambda: reader.models.get("modelversion", "digits.v1")["status"]["phase"] == "Ready")
        reader.type(first, user)
    reader.shows("Healthy", "v1 is live")

    reader.repository.change(VERSION, V1, V2, "digits: version 2")
    reader.look()
    blocked = "v2 is blocked: digits-release: needs 2 more approvals for champion: has 0 of 2"
    assert blocked in " ".join(PAGE.split())
    reader.shows("Suspended", blocked)
    assert reader.models.get("modelalias", ALIAS)["status"]["boundVersion"] == 1
    for user in ("rita", "rolf"):
        reader.type(approve.replace("rita", user), user)
    reader.shows("Healthy", "v2 is live")

    reader.type(back, "walter", reader.repository.folder)
    reader.look()
    reader.shows("Healthy", "v1 is live")
    moves = reader.models.get("modelalias", ALIAS)["status"]["history"]
    assert [(each["version"], each["actor"].rpartition(":")[2]) for each in moves] == [
        (1, "assay-deployer"),
        (2, "assay-deployer"),
        (1, "walter"),
    ]
    rename_and_back(reader)


def rename_and_back(reader: Reader) -> None:
    """A folder that is renamed in Git takes no alias along, and finds it again."""
    alias = reader.models.get("modelalias", ALIAS)
    reader.repository.git("mv", "digits/prod", "digits/live")
    renamed = reader.repository.commit("another name")
    reader.look()
    wait_for("the Application to go", lambda: not reader.exists(), seconds=60)
    assert reader.models.get("modelalias", ALIAS)["metadata"]["uid"] == alias["metadata"]["uid"]
    reader.repository.revert(renamed)
    reader.look()
    wait_for("the Application to come back", reader.exists, seconds=60)
    reader.shows("Healthy", "v1 is live")
    assert reader.models.get("modelalias", ALIAS)["status"]["history"] == alias["status"]["history"]
