"""The cluster of a session, the people, and what there is before it begins.

The people have the chart's roles and nothing else, and of the store the keys that docs/cli.md tells a platform team to
make: they read. What they type runs in a folder of their own.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from tests.cluster.charting import Release
from tests.cluster.errors import ClusterError
from tests.cluster.paths import CHECKOUT
from tests.cluster.waiting import wait_for
from tests.sessions import terminal

ROLES = {"dora": "data-scientist", "rita": "approver", "walter": "release-manager", "alex": "auditor"}
STEP_SECONDS = 600
_EXAMPLES = CHECKOUT / "examples"
_READER = "vision-reader"
_GIT = ("git", "-c", "user.name=dora", "-c", "user.email=dora@example.com")
_KEPT = ("LANG", "TMPDIR")
Raw = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A release of Assay, and a folder in which everybody has one of their own."""

    release: Release
    folder: Path
    namespace: str = "vision"

    def prepare(self) -> None:
        """Make the namespace, the people and the server, and a first version, which is live."""
        self.release.cluster.create_namespace(self.namespace)
        self._bind_roles()
        self._make_reader()
        self._kubectl("apply", f"--filename={_EXAMPLES / 'registry/policy.yaml'}")
        for manifest in yaml.safe_load_all((_EXAMPLES / "registry/deployment.yaml").read_text()):
            if manifest["kind"] == "Deployment":
                manifest["spec"]["replicas"] = 1
            self._kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
        for person in ROLES:
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

    def _bind_roles(self) -> None:
        for person, role in ROLES.items():
            self._kubectl("create", "rolebinding", person, f"--clusterrole=assay-{role}", f"--user={person}")
        self._kubectl(
            *("create", "role", "assay-store", "--verb=get", "--resource=secrets", "--resource-name=assay-store")
        )
        users = [f"--user={person}" for person in ROLES]
        self._kubectl("create", "rolebinding", "assay-store", "--role=assay-store", *users)
        # Alone in the operator's namespace, where the head of the trail is kept that nobody else can write.
        heads = ("--verb=get", "--resource=configmaps", "--resource-name=assay-audit-heads")
        self.release.kubectl("create", "role", "assay-audit-heads", *heads)
        self.release.kubectl("create", "rolebinding", "alex", "--role=assay-audit-heads", "--user=alex")

    def _make_reader(self) -> None:
        """Make the store's user with the policy of docs/cli.md, and the Secret that tells people of it."""
        store = self.release.cluster.store
        administrator = MinioAdmin(
            endpoint=urllib.parse.urlsplit(store.endpoint).netloc,
            credentials=StaticProvider(store.root_access_key, store.root_secret_key),
            region=store.region,
            secure=store.endpoint.startswith("https"),
        )
        key = secrets.token_urlsafe(24)
        administrator.user_add(_READER, key)
        administrator.policy_add(_READER, policy=reader_policy(self.namespace))
        administrator.policy_set(_READER, user=_READER)
        values = {"endpoint": store.endpoint, "bucket": store.bucket, "accessKey": _READER, "secretKey": key}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-store"}, "stringData": values}
        self._kubectl("apply", "--filename=-", stdin=json.dumps(secret))

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


def reader_policy(namespace: str) -> Raw:
    """Return the store's policy for people as docs/cli.md has it, for a namespace."""
    text = (CHECKOUT / "docs/cli.md").read_text()
    found = re.search(r"^```json\n(\{\n.*?\"s3:GetObject\".*?)```", text, re.MULTILINE | re.DOTALL)
    assert found, "docs/cli.md shows no policy for people"
    policy: Raw = json.loads(found[1].replace("/team/", f"/{namespace}/"))
    return policy
