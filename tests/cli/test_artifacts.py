"""Files of runs and versions: listed, downloaded, pulled and verified; also after changes in the store."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial as partial_function
from pathlib import Path
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.signing.keygen import make_keys
from assay.signing.keys import Keyring, read_private
from assay.signing.stored import sign_version
from assay.store import layout
from assay.store.digests import folder_digest
from assay.store.models import RegisteredModel
from tests import registry
from tests.cli import golden
from tests.cli.conftest import Answer
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.slow_line import SlowLine
from tests.cli.stand_in import StandIn
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster
from tests.integration.test_recorded import FILES, leave
from tests.registered import Trained

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
MODEL = {"weights.bin": b"w" * 100_000, "deep/er/config.json": b"{}", "a b/%ü+&?#": b"odd", "empty": b""}


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def slow(cluster: Cluster, line: SlowLine) -> dict[str, str]:
    """The environment of a person who reaches the cluster's store over a slow line."""
    store = {**cluster.store.environment(), "ASSAY_STORE_ENDPOINT": line.endpoint}
    return {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), **store}


def version(
    stand_in: StandIn, number: int = 1, files: dict[str, bytes] = MODEL, path: str = "model"
) -> RegisteredModel:
    """A version whose bytes are registered."""
    found = Trained(stand_in.store, files, stand_in.namespace).register(path, number)
    artifact = {"uri": found.uri, "digest": found.manifest.digest}
    copy = {**artifact, "manifestDigest": found.manifest_digest, "files": found.files, "bytes": found.bytes}
    manifest = registry.model_version("digits", number, namespace=stand_in.namespace, artifact=artifact)
    stand_in.create(manifest, {"phase": "Ready", "artifact": copy})
    return found


def champion(stand_in: StandIn, number: int) -> None:
    stand_in.create(registry.model_alias("digits", "champion", number), {"phase": "Bound", "boundVersion": number})


def recorded(stand_in: StandIn, name: str = "digits-3") -> Raw:
    """A run whose record is closed."""
    run = stand_in.run(name, experiment="digits", model={"path": "model"})
    records.open_record(stand_in.store, run)
    leave(stand_in.store, run, "p", 0.9)
    closed = records.close_record(stand_in.store, run, "Succeeded", "JobComplete", ["p"], "p")
    uri = f"s3://{stand_in.store.config.bucket}/{records.prefix_of(run)}"
    record = {"uri": uri, "artifacts": f"{uri}/pods/p/artifacts/", "manifestDigest": closed.manifest_digest}
    return stand_in.set_status("run", name, {"phase": "Succeeded", "record": {**record, "complete": True}})


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Listing


def test_the_artifacts_of_a_run_are_listed(assay: Assay, stand_in: StandIn) -> None:
    recorded(stand_in)
    answer = assay("artifacts", "ls", "digits-3")
    golden.check("artifacts-ls", answer.out)
    assert "more files in the record; --all lists them" in answer.err
    whole = assay("artifacts", "ls", "digits-3", "--all", "-o", "json").json()
    assert (whole["name"], whole["kind"]) == ("digits-3", "run")
    assert {"run.json", "pods/p/artifacts/plot.png"} <= {each["path"] for each in whole["items"]}
    for each in whole["items"]:
        assert stand_in.store.digest(each["key"]) == (each["size"], each["sha256"])


def test_the_files_of_a_version_are_listed_under_each_of_its_names(assay: Assay, stand_in: StandIn) -> None:
    version(stand_in, 24)
    champion(stand_in, 24)
    wide = assay("artifacts", "ls", "digits.v24", "-o", "wide")
    golden.check("artifacts-ls-version", wide.out)
    for name in ("digits/24", "models:/digits/24", "digits.champion", "models:/digits@champion"):
        assert assay("artifacts", "ls", name, "-o", "wide").out == wide.out
    assert assay("artifacts", "ls", "digits.v24", "-o", "csv").lines[0] == "PATH,SIZE,SHA256"


def test_a_running_run_lists_the_files_uploaded_so_far(assay: Assay, stand_in: StandIn) -> None:
    run = stand_in.run("digits-4", {"phase": "Running", "attempts": [{"pod": "p", "phase": "Running"}]})
    stand_in.store.put_bytes(f"{stand_in.prefix(run)}/intake/p/artifacts/checkpoint.bin", b"so far")
    answer = assay("artifacts", "ls", "digits-4")
    assert answer.lines[1].split() == ["checkpoint.bin", "6", "B"]
    assert "these files are not verified" in answer.err


def test_missing_runs_and_copies_are_reported(assay: Assay, stand_in: StandIn) -> None:
    recorded(stand_in)
    missing = assay("artifacts", "ls", "digits-33")
    assert (missing.code, "did you mean digits-3?" in missing.err) == (3, True)
    stand_in.create(registry.model_version("digits", 2, namespace=stand_in.namespace))
    pending = assay("artifacts", "ls", "digits.v2")
    assert (pending.code, "digits.v2 has no registered copy" in pending.err) == (3, True)


# Single files


def test_files_and_folders_are_downloaded(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    recorded(stand_in)
    answer = assay("artifacts", "get", "digits-3", "model", "plot.png", "run.json", "-d", str(tmp_path))
    assert answer.code == 0, answer.err
    found = tree(tmp_path)
    assert found.pop("run.json").startswith(b"{")
    assert found == {"model/weights": b"weights", "model/config.json": b"{}", "plot.png": b"png"}
    assert sorted(answer.lines) == sorted(str(tmp_path / path) for path in [*found, "run.json"])
    everything = tmp_path / "all"
    assert assay("artifacts", "get", "digits-3", "--directory", str(everything)).code == 0
    assert tree(everything) == {path.removeprefix("artifacts/"): data for path, data in FILES.items()}


def test_an_existing_file_is_replaced_only_with_force(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    recorded(stand_in)
    (tmp_path / "plot.png").write_bytes(b"mine")
    refused = assay("artifacts", "get", "digits-3", "plot.png", cwd=tmp_path)
    assert (refused.code, "plot.png already exists" in refused.err) == (2, True)
    assert (tmp_path / "plot.png").read_bytes() == b"mine"
    assert assay("artifacts", "get", "digits-3", "plot.png", "--force", cwd=tmp_path).code == 0
    assert tree(tmp_path) == {"plot.png": b"png"}
    assert assay("artifacts", "get", "digits-3", "plot.png", cwd=tmp_path).code == 0


def test_a_file_with_other_bytes_does_not_appear(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    run = recorded(stand_in)
    stand_in.store.put_bytes(f"{stand_in.prefix(run)}/pods/p/artifacts/plot.png", b"PNG")
    answer = assay("artifacts", "get", "digits-3", "plot.png", "model", "-d", str(tmp_path))
    assert (answer.code, "was changed: expected the sha256" in answer.err) == (6, True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_leaves_the_prefix_is_refused(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    run = recorded(stand_in)
    key = f"{stand_in.prefix(run)}/manifest.json"
    stand_in.store.put_bytes(
        key, stand_in.store.get_bytes(key, 1 << 20).replace(b"artifacts/plot.png", b"artifacts/../../x")
    )
    answer = assay("artifacts", "get", "digits-3", "-d", str(tmp_path / "in"))
    assert (answer.code, "not a plain relative path" in answer.err) == (1, True)
    assert not (tmp_path / "in").exists()


def test_a_path_without_files_gets_suggestions(assay: Assay, stand_in: StandIn) -> None:
    recorded(stand_in)
    answer = assay("artifacts", "get", "digits-3", "plt.png")
    assert (answer.code, "did you mean plot.png?" in answer.err) == (3, True)


# Verification


def test_a_complete_record_is_intact(assay: Assay, stand_in: StandIn) -> None:
    recorded(stand_in)
    answer = assay("artifacts", "verify", "digits-3", "-o", "json").json()
    assert (answer["intact"], answer["deep"], answer["findings"]) == (True, True, [])
    assert answer["files"] == len(assay("artifacts", "ls", "digits-3", "--all", "-o", "json").json()["items"])


def test_every_difference_is_reported(assay: Assay, stand_in: StandIn) -> None:
    run = recorded(stand_in)
    prefix = f"{stand_in.prefix(run)}/pods/p/artifacts"
    stand_in.store.put_bytes(f"{prefix}/plot.png", b"PNG")
    stand_in.store.put_bytes(f"{prefix}/model/weights", b"longer than before")
    stand_in.store.delete(f"{prefix}/model/config.json")
    answer = assay("artifacts", "verify", "digits-3")
    assert answer.code == 6
    problems = {line.split()[1]: line.split()[0] for line in answer.out.splitlines()[:3]}
    assert problems == {
        "pods/p/artifacts/plot.png:": "changed",
        "pods/p/artifacts/model/weights:": "changed",
        "pods/p/artifacts/model/config.json:": "missing",
    }
    assert answer.out.splitlines()[3].endswith("every byte read; NOT INTACT")
    quick = assay("artifacts", "verify", "digits-3", "--quick")
    assert (quick.code, "plot.png" in quick.out, "sizes compared" in quick.out) == (6, False, True)


def test_a_version_is_compared_with_its_registration(assay: Assay, stand_in: StandIn) -> None:
    found = version(stand_in)
    assert assay("artifacts", "verify", "digits.v1").lines == ["digits.v1: 4 files, 100 kB; every byte read; intact"]
    stand_in.store.put_bytes(f"{found.prefix}/artifact/more", b"added")
    added = assay("artifacts", "verify", "digits.v1")
    assert (added.code, "is not in the manifest: 1 file(s) were added" in added.out) == (6, True)
    stand_in.store.delete(f"{found.prefix}/artifact/more")
    key = f"{found.prefix}/manifest.json"
    stand_in.store.put_bytes(key, stand_in.store.get_bytes(key, 1 << 20) + b"\n")
    assert "manifest.json: expected the digest" in assay("artifacts", "verify", "digits.v1").out


def test_a_signature_is_checked_with_the_given_keys(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    found = version(stand_in)
    ours, others = tmp_path / "ours", tmp_path / "others"
    key = make_keys(ours)
    make_keys(others)
    public = ours / "public-keys.pem"
    unsigned = assay("artifacts", "verify", "digits.v1", "--key", str(public))
    assert (unsigned.code, "signature: NOT VALID: " in unsigned.out and "does not exist" in unsigned.out) == (6, True)
    private = read_private(ours / "signing.key")
    where = layout.ModelKey(stand_in.namespace, "digits", 1)
    sign_version(stand_in.store, Keyring.of(private), where, found.manifest.digest)
    valid = assay("artifacts", "verify", "digits.v1", ASSAY_SIGNING_PUBLIC_KEYS_FILE=str(public))
    assert valid.lines[1] == f"signature: valid, by key {key}"
    other = assay("artifacts", "verify", "digits.v1", "--key", str(others / "public-keys.pem"))
    assert (other.code, "which is not a known key" in other.out) == (6, True)
    none = assay("artifacts", "verify", "digits.v1", "--key", str(tmp_path / "none"))
    assert (none.code, "has no key in it" in none.err) == (2, True)


# Pulling


def test_the_live_version_is_pulled_completely(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    version(stand_in, 23, {"old": b"old"})
    found = version(stand_in, 24)
    champion(stand_in, 24)
    where = tmp_path / "model"
    answer = assay("pull", "models:/digits@champion", str(where))
    assert answer.lines[0] == f"digits.v24  {found.manifest.digest}"
    assert tree(where) == MODEL
    lines = ((path, hashlib.sha256(data).hexdigest()) for path, data in tree(where).items())
    assert folder_digest(lines) == found.manifest.digest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    again = assay("pull", "digits.v24", str(where), "-o", "json")
    assert again.json() == {
        "version": "digits.v24",
        "digest": found.manifest.digest,
        "files": 4,
        "bytes": 100_005,
        "directory": str(where),
    }
    assert "already contains this model" in again.err
    other = assay("pull", "digits/23", str(where))
    assert (other.code, "contains other files" in other.err) == (2, True)
    assert tree(where) == MODEL


def test_a_model_of_one_file_is_pulled(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    version(stand_in, 1, path="model.pkl")
    (tmp_path / "empty").mkdir()
    assert assay("pull", "digits.v1", str(tmp_path / "empty")).code == 0
    assert tree(tmp_path / "empty") == {"model.pkl": b"single"}


def test_changed_bytes_are_not_pulled(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    found = version(stand_in)
    stand_in.store.put_bytes(f"{found.prefix}/artifact/weights.bin", b"x" * 100_000)
    answer = assay("pull", "digits.v1", str(tmp_path / "model"))
    assert (answer.code, "weights.bin was changed: expected the sha256" in answer.err) == (6, True)
    assert not (tmp_path / "model").exists()


def test_a_manifest_of_other_bytes_is_refused(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    found = version(stand_in)
    other = version(stand_in, 2, {"weights.bin": b"other"})
    stand_in.store.copy(f"{found.prefix}/manifest.json", stand_in.store.config.bucket, f"{other.prefix}/manifest.json")
    answer = assay("pull", "digits.v1", str(tmp_path / "model"))
    assert (answer.code, "manifest.json was changed" in answer.err) == (6, True)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_pull_resumes(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    """Complete, partial, foreign, too long and damaged files in the partial folder are all handled."""
    version(stand_in, 1, {"whole": b"whole", "begun": b"begun and", "damaged": b"damaged!", "long": b"long"})
    partial = tmp_path / ".model.partial"
    (partial / "other").mkdir(parents=True)
    left = {"whole": b"whole", "begun": b"begun", "damaged": b"DAMA", "long": b"much longer", "other/file": b"x"}
    for path, data in left.items():
        (partial / path).write_bytes(data)
    assert assay("pull", "digits.v1", str(tmp_path / "model")).code == 0
    wanted = {"whole": b"whole", "begun": b"begun and", "damaged": b"damaged!", "long": b"long"}
    assert tree(tmp_path / "model") == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_killed_pull_downloads_only_the_rest(
    assay: Assay, governed: Cluster, stand_in: StandIn, tmp_path: Path
) -> None:
    large = os.urandom(1 << 20) * 96
    version(stand_in, 1, {"large.bin": large, "small.bin": b"small"})
    where, partial = tmp_path / "model", tmp_path / ".model.partial" / "large.bin"
    argv = [str(Path(sys.executable).parent / "assay"), "pull", "digits.v1", str(where), "-n", stand_in.namespace]
    # Over a line that is slow enough for the signal to come before the end, however busy the machine is.
    with SlowLine(governed.store.endpoint) as line:
        # A shell in the background has its children ignore the signal.
        heeds = partial_function(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(argv, env=slow(governed, line), preexec_fn=heeds)
        wait_for("a part to have come", lambda: partial.stat().st_blocks > 1 << 12, seconds=60, every=0.005)
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_SECONDS)
    assert not where.exists()
    left = partial.stat().st_size
    assert 0 < left < len(large)
    # What is kept is a true beginning: it need not be fetched again.
    assert partial.read_bytes() == large[:left]
    assert assay("pull", "digits.v1", str(where)).code == 0
    assert (where / "large.bin").read_bytes() == large
    assert sorted(tree(where)) == ["large.bin", "small.bin"]
