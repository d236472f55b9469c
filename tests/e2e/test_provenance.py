"""The audit of docs/provenance.md, from a server's header back to data and people, as an auditor runs it.

Everything in here is real: the training, the server, the store, and the verifiers of others. The page's commands are
run as they stand, and its answers are compared with what was said.
"""

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.signing.keygen import make_keys
from tests import registry
from tests.cluster.local import LocalCluster
from tests.objects import Objects, condition
from tests.operators import ROOT, OperatorProcess
from tests.verifiers import open_envelope, read_provenance

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs/provenance.md").read_text()
EXAMPLE = ROOT / "examples/registry"
REVISION = "3f2c0e1d" * 5
DATA = b"label,pixel\n3,0.5\n"
Raw = dict[str, Any]


@dataclass
class Auditor:
    """A folder with the public keys in it, and a shell in it."""

    objects: Objects
    folder: Path
    key: str

    @property
    def environment(self) -> dict[str, str]:
        cluster = self.objects.cluster
        return {
            **os.environ,
            **cluster.store.environment(),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "NAMESPACE": self.objects.namespace,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": str(ROOT / "operator"),
            "no_proxy": "*",
        }

    def shell(self, script: str, **variables: str) -> str:
        """Run a script; return what it prints, and both outputs when it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={**self.environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def follow(self, section: str) -> None:
        """Run the commands of a section of examples/registry's README."""
        found = re.search(
            rf"^## {section}\n.*?```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL
        )
        assert found, section
        self.shell(found[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the operator's keys."""
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder)
    return folder


@pytest.fixture(scope="module")
def operator_process(
    installed: LocalCluster, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """Return an operator that signs."""
    environment = {
        "ASSAY_SIGNING_KEY_FILE": str(keys / "signing.key"),
        "ASSAY_SIGNING_PUBLIC_KEYS_FILE": str(keys / "public-keys.pem"),
    }
    with OperatorProcess(installed, tmp_path_factory.mktemp("operator") / "operator.log", environment) as process:
        yield process


@pytest.fixture(scope="module")
def auditor(
    installed: LocalCluster, operator_process: OperatorProcess, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Auditor]:
    """Return an auditor of a namespace in which a model was trained, registered, approved, and is served."""
    registry.install_policies(installed)
    name = f"audit-{os.getpid()}-{int(time.time()) % 100_000}"
    installed.create_namespace(name, {"pod-security.kubernetes.io/enforce": "restricted"})
    installed.kubectl("annotate", "namespace", name, "assay.dev/allowed-prefixes=s3://assay/datasets/")
    folder = tmp_path_factory.mktemp("audit")
    (folder / "kubeconfig").write_bytes(installed.kubeconfig.read_bytes())
    (folder / "public-keys.pem").write_bytes((keys / "public-keys.pem").read_bytes())
    objects = Objects(installed, name)
    auditor = Auditor(objects, folder, next(iter(re.findall(r"[0-9a-f]{64}", _ids(keys)))))
    auditor.shell(f"kubectl config set-context --current --namespace={name}")
    _write_example(folder)
    objects.store.put_bytes("datasets/digits.csv", DATA, "text/csv")
    for section in ("Rules", "Train", "Request the version", "Approve"):
        auditor.follow(section)
    yield auditor
    installed.delete_namespace(name)


def _ids(keys: Path) -> str:
    command = [sys.executable, "-m", "assay.signing", "keys", str(keys / "public-keys.pem")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def _write_example(folder: Path) -> None:
    """Write the manifests of examples/registry, with a source and a data set, and a policy that asks for signatures."""
    for path in EXAMPLE.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = yaml.safe_load((EXAMPLE / "experiment.yaml").read_text())
    manifest["spec"]["template"] |= {
        "source": {"repository": "https://git.example.com/ml/digits", "revision": REVISION},
        "datasets": [
            {
                "name": "digits",
                "uri": "s3://assay/datasets/digits.csv",
                "digest": "sha256:" + hashlib.sha256(DATA).hexdigest(),
            }
        ],
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(manifest))
    policy = yaml.safe_load((EXAMPLE / "policy.yaml").read_text())
    policy["spec"]["evidence"] = {"signed": True}
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))


def test_the_documented_audit_works_as_shown(auditor: Auditor) -> None:
    chapter = PAGE.split("## A worked audit\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```(sh|text)\n(.*?)```", chapter, re.DOTALL)
    address = auditor.objects.get("service", "digits")["spec"]["clusterIP"]
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tools, said = blocks[0][1], ""
    assert "RCLONE" in tools
    assert len(blocks) > 15
    for kind, text in blocks[1:]:
        if kind == "sh":
            said = auditor.shell(tools + text, SERVER=f"http://{address}", TIME=moment)
            continue
        for line in text.splitlines():
            pattern = re.escape(line).replace("…", ".*")
            assert re.search(rf"^{pattern}\s*$", said, re.MULTILINE), f"{line!r} is not in\n{said}"


def test_the_objects_say_that_they_are_signed(auditor: Auditor) -> None:
    version = auditor.objects.get("mv", "digits.v1")
    run = auditor.objects.get("run", version["spec"]["run"]["name"])
    for found in (version, run):
        assert condition(found, "Signed")["status"] == "True", found["status"]
        assert auditor.key in condition(found, "Signed")["message"]
    assert version["status"]["signature"]["keyId"] == auditor.key


def test_an_in_toto_verifier_reads_what_the_run_was(auditor: Auditor, keys: Path) -> None:
    version = auditor.objects.get("mv", "digits.v1")
    run = auditor.objects.get("run", version["spec"]["run"]["name"])
    store, prefix = auditor.objects.store, auditor.objects.prefix(run)
    data = store.get_bytes(f"{prefix}/provenance.dsse.json", 10 << 20)
    payload = open_envelope(data, {auditor.key: (keys / "signing.pub").read_bytes()})
    statement, predicate = read_provenance(payload)

    digest = run["status"]["model"]["digest"].removeprefix("sha256:")
    assert [dict(each.digest) for each in statement.subject] == [{"sha256": digest}]
    assert payload["predicate"]["buildDefinition"]["externalParameters"]["spec"] == run["spec"]
    assert predicate.run_details.metadata.invocation_id == run["metadata"]["uid"]
    times = predicate.run_details.metadata
    assert times.started_on.ToJsonString() == run["status"]["startTime"]
    assert times.finished_on.ToJsonString() == run["status"]["completionTime"]
    manifest = hashlib.sha256(store.get_bytes(f"{prefix}/manifest.json", 10 << 20)).hexdigest()
    assert dict(predicate.run_details.byproducts[0].digest) == {"sha256": manifest}
    assert run["status"]["record"]["manifestDigest"] == f"sha256:{manifest}"
    found = {each.name: dict(each.digest) for each in predicate.build_definition.resolved_dependencies}
    assert found["source"] == {"gitCommit": REVISION}
    assert found["dataset/digits"] == {"sha256": hashlib.sha256(DATA).hexdigest()}
    assert found["image/train"]["sha256"] in run["status"]["images"][0]["digest"]
