"""`python -m assay.fetch` as a process against a real store: either every byte is right, or there is nothing."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from assay.store.client import ObjectStore
from assay.store.credentials import Credentials, issue_model_credentials
from assay.store.models import RegisteredModel
from tests.registered import FILES, Trained
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration

PROXY_FREE = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


class Fetch:
    """One init container: its volume, its credentials, its environment."""

    def __init__(
        self, server: S3Server, folder: Path, path: str = "model", files: dict[str, bytes] | None = None
    ) -> None:
        self.trained = Trained(server.store(), files)
        self.model: RegisteredModel = self.trained.register(path)
        self.directory = folder / "volume" / "model"
        self.directory.parent.mkdir()
        self.message = folder / "termination-log"
        self.credentials = folder / "credentials.json"
        self.issue(server)
        self.environment = PROXY_FREE | {
            "ASSAY_FETCH_PREFIX": self.model.prefix,
            "ASSAY_FETCH_DIGEST": self.model.manifest.digest,
            "ASSAY_FETCH_MANIFEST_DIGEST": self.model.manifest_digest,
            "ASSAY_FETCH_DIR": str(self.directory),
            "ASSAY_CREDENTIALS": str(self.credentials),
            "ASSAY_TERMINATION_LOG": str(self.message),
            "ASSAY_FETCH_RETRY_SECONDS": "3",
        }

    @property
    def store(self) -> ObjectStore:
        return self.trained.store

    def issue(self, server: S3Server) -> None:
        issued = issue_model_credentials(server.config(), self.model.prefix, timedelta(minutes=15))
        self.credentials.write_text(issued.to_json())

    def start(self, **changes: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "assay.fetch"]
        return subprocess.Popen(
            command, env=self.environment | changes, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, code: int, **changes: str) -> str:
        """Run it, expect its exit code, and give its log."""
        process = self.start(**changes)
        log, _ = process.communicate(timeout=120)
        assert process.returncode == code, log
        if code:
            assert self.message.read_text() == log.splitlines()[-1]
            assert self.left() == []
        return log

    def left(self) -> list[str]:
        """What is in the volume."""
        return sorted(path.name for path in self.directory.parent.iterdir())

    def content(self) -> dict[str, bytes]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {path.relative_to(self.directory).as_posix(): path.read_bytes() for path in found}

    def rewrite(self, **changes: object) -> None:
        """Forge the manifest; the digest of the manifest that is expected follows it."""
        key = f"{self.model.prefix}/manifest.json"
        found = json.loads(self.store.get_bytes(key, 1 << 20))
        self.store.put_bytes(key, json.dumps(found | changes).encode())
        del self.environment["ASSAY_FETCH_MANIFEST_DIGEST"]


@pytest.fixture
def fetch(minio: S3Server, tmp_path: Path) -> Fetch:
    return Fetch(minio, tmp_path)


def test_a_model_arrives_whole_and_read_only(fetch: Fetch) -> None:
    log = fetch.run(0)
    assert fetch.content() == FILES
    assert fetch.left() == ["model"]
    assert not fetch.message.exists()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in fetch.directory.rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (fetch.directory, fetch.directory / "deep" / "er")}
    assert (modes, folders) == ({0o444}, {0o555})
    assert f"fetching {fetch.model.prefix}: 4 files, 100005 bytes, {fetch.model.manifest.digest}" in log


def test_the_server_can_read_the_model_with_any_umask(fetch: Fetch) -> None:
    before = os.umask(0o077)
    try:
        fetch.run(0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((fetch.directory / "weights.bin").stat().st_mode) == 0o444


def test_a_single_file_arrives_in_the_folder(minio: S3Server, tmp_path: Path) -> None:
    fetch = Fetch(minio, tmp_path, "model.pkl")
    fetch.run(0)
    assert fetch.content() == {"model.pkl": b"single"}
    assert "already holds the verified model" in fetch.run(0)


def test_a_second_fetch_verifies_existing_files_without_the_store(fetch: Fetch) -> None:
    fetch.run(0)
    fetch.credentials.unlink()
    assert "already holds the verified model" in fetch.run(0)


@pytest.mark.parametrize("damage", ["changed", "added", "removed", "symlink"])
def test_damaged_files_are_fetched_again(fetch: Fetch, damage: str) -> None:
    fetch.run(0)
    fetch.directory.chmod(0o755)
    file = fetch.directory / "weights.bin"
    if damage == "added":
        (fetch.directory / "added").write_bytes(b"x")
    else:
        file.unlink()
    if damage == "changed":
        file.write_bytes(b"W" + FILES["weights.bin"][1:])
    if damage == "symlink":
        file.symlink_to("/etc/hostname")
    fetch.run(0)
    assert fetch.content() == FILES
    assert not file.is_symlink()


# Tampering: one line that says which file, what was expected and what was found; and nothing in the volume


def change(fetch: Fetch) -> None:
    fetch.store.put_bytes(f"{fetch.model.prefix}/artifact/weights.bin", b"W" + FILES["weights.bin"][1:])


def shorten(fetch: Fetch) -> None:
    fetch.store.put_bytes(f"{fetch.model.prefix}/artifact/weights.bin", b"w")


def lengthen(fetch: Fetch) -> None:
    fetch.store.put_bytes(f"{fetch.model.prefix}/artifact/weights.bin", FILES["weights.bin"] + b"w")


def remove(fetch: Fetch) -> None:
    fetch.store.delete(f"{fetch.model.prefix}/artifact/weights.bin")


def fill_empty(fetch: Fetch) -> None:
    fetch.store.put_bytes(f"{fetch.model.prefix}/artifact/empty", b"x")


def change_manifest(fetch: Fetch) -> None:
    key = f"{fetch.model.prefix}/manifest.json"
    fetch.store.put_bytes(key, fetch.store.get_bytes(key, 1 << 20) + b"\n")


def remove_manifest(fetch: Fetch) -> None:
    fetch.store.delete(f"{fetch.model.prefix}/manifest.json")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (change, "/artifact/weights.bin was changed: expected the sha256 "),
        (shorten, "/artifact/weights.bin was changed: expected 100000 bytes, found 1"),
        (lengthen, "/artifact/weights.bin was changed: it is larger than the expected 100000 bytes"),
        (remove, "/artifact/weights.bin is missing in the store"),
        (fill_empty, "/artifact/empty was changed: it is larger than the expected 0 bytes"),
        (change_manifest, "/manifest.json was changed: expected the digest sha256:"),
        (remove_manifest, "/manifest.json is missing in the store"),
    ],
)
def test_tampered_bytes_never_appear(fetch: Fetch, tamper: Callable[[Fetch], None], message: str) -> None:
    tamper(fetch)
    fetch.run(1)
    assert fetch.message.read_text().startswith(fetch.model.prefix)
    assert message in fetch.message.read_text()


def test_a_file_that_was_added_is_not_fetched(fetch: Fetch) -> None:
    fetch.store.put_bytes(f"{fetch.model.prefix}/artifact/added", b"x")
    fetch.run(0)
    assert fetch.content() == FILES


def test_tampered_bytes_remove_the_existing_model(fetch: Fetch) -> None:
    fetch.run(0)
    fetch.directory.chmod(0o755)
    (fetch.directory / "weights.bin").unlink()
    change(fetch)
    fetch.run(1)


def test_a_version_other_than_the_approved_one_is_refused(fetch: Fetch) -> None:
    other = fetch.trained.register("model.pkl", 2)
    fetch.run(1, ASSAY_FETCH_DIGEST=other.manifest.digest)
    said = fetch.message.read_text()
    assert f"expected the digest {other.manifest.digest}, found {fetch.model.manifest.digest}" in said


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../../outside", "not a plain relative path"),
        ("artifact/../../outside", "not a plain relative path"),
        ("/etc/passwd", "not a plain relative path"),
        ("artifact//x", "not a plain relative path"),
        ("manifest.json", "outside artifact/"),
        ("artifact", "outside artifact/"),
        ("artifact/weights.bin/x", "another file has the name of its folder"),
        ("artifact/weights.bin", "lists a file twice"),
        ("artifact/a\nb", "control characters"),
        ("artifact/plain", "belongs to another model"),
        (7, "is not the manifest of a model"),
    ],
)
def test_forged_manifests_are_refused(fetch: Fetch, path: object, message: str) -> None:
    files = [entry.model_dump() for entry in fetch.model.manifest.files]
    fetch.rewrite(files=[*files, {"path": path, "size": 1, "sha256": "0" * 64}])
    fetch.run(1)
    assert message in fetch.message.read_text()
    assert not (fetch.directory.parent.parent / "outside").exists()


@pytest.mark.parametrize(
    "files", [[], {}, None, "x", [1], [{}], [{"path": "artifact/x", "size": -1, "sha256": "0" * 64}]]
)
def test_broken_manifests_are_refused(fetch: Fetch, files: object) -> None:
    fetch.rewrite(files=files)
    fetch.run(1)
    assert "is not the manifest of a model" in fetch.message.read_text()


def test_a_huge_model_is_refused_before_the_volume_is_full(fetch: Fetch) -> None:
    files = [entry.model_dump() for entry in fetch.model.manifest.files]
    fetch.rewrite(files=[entry | {"size": 1 << 60} for entry in files])
    fetch.run(1)
    assert "no room for the model" in fetch.message.read_text()


# The store


def test_fetching_fails_when_the_store_stays_down(own_minio: S3Server, tmp_path: Path) -> None:
    fetch = Fetch(own_minio, tmp_path)
    own_minio.kill()
    log = fetch.run(3)
    assert "trying again in" in log
    assert fetch.message.read_text().startswith("gave up after 3 s: ")
    assert "cannot be reached" in fetch.message.read_text()


def test_fetching_continues_when_the_store_comes_back(own_minio: S3Server, tmp_path: Path) -> None:
    fetch = Fetch(own_minio, tmp_path)
    own_minio.kill()
    process = fetch.start(ASSAY_FETCH_RETRY_SECONDS="60")
    assert process.stdout
    assert "trying again in" in process.stdout.readline()
    own_minio.start()
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert fetch.content() == FILES


def test_fetching_survives_a_killed_store(own_minio: S3Server, tmp_path: Path) -> None:
    large = {f"part-{number}": os.urandom(24 << 20) for number in range(8)}
    fetch = Fetch(own_minio, tmp_path, files=large)
    process = fetch.start(ASSAY_FETCH_RETRY_SECONDS="60")
    partial = fetch.directory.parent / ".model.partial"

    def under_way() -> bool:
        return partial.exists() and sum(file.stat().st_size for file in partial.iterdir()) > 10 << 20

    wait_until(under_way, "some of the model has come")
    assert not fetch.directory.exists()
    own_minio.kill()
    own_minio.start()
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert fetch.content() == large


def test_credentials_of_another_model_are_denied(fetch: Fetch, minio: S3Server) -> None:
    other = fetch.trained.register("model.pkl", 2)
    issued = issue_model_credentials(minio.config(), other.prefix, timedelta(minutes=15))
    fetch.credentials.write_text(issued.to_json())
    fetch.run(3)
    assert "denied" in fetch.message.read_text().lower()
    assert issued.secret_key not in fetch.message.read_text()


def test_credentials_that_come_late_are_used(fetch: Fetch, minio: S3Server) -> None:
    fetch.credentials.unlink()
    process = fetch.start(ASSAY_FETCH_RETRY_SECONDS="60")
    assert process.stdout
    assert "no store credentials at" in process.stdout.readline()
    stale = Credentials("http://127.0.0.1:1", "us-east-1", "assay", "key", "secret")
    fetch.credentials.write_text(stale.to_json())
    fetch.issue(minio)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log


# The process


def test_a_terminated_fetch_ends_at_once_and_leaves_no_model(own_minio: S3Server, tmp_path: Path) -> None:
    fetch = Fetch(own_minio, tmp_path)
    own_minio.kill()
    process = fetch.start(ASSAY_FETCH_RETRY_SECONDS="600")
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 143
    assert not fetch.directory.exists()


def test_a_fetch_killed_halfway_starts_over(minio: S3Server, tmp_path: Path) -> None:
    large = {f"part-{number}": os.urandom(24 << 20) for number in range(8)}
    fetch = Fetch(minio, tmp_path, files=large)
    process = fetch.start()
    partial = fetch.directory.parent / ".model.partial"
    wait_until(partial.exists, "the download has begun")
    process.kill()
    process.communicate(timeout=10)
    assert not fetch.directory.exists()
    fetch.run(0)
    assert fetch.content() == large
    assert fetch.left() == ["model"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ASSAY_FETCH_PREFIX", "", "ASSAY_FETCH_PREFIX is not set"),
        ("ASSAY_FETCH_PREFIX", "runs/a/b/c/d", "is not the prefix of a model's version"),
        ("ASSAY_FETCH_DIGEST", "", "ASSAY_FETCH_DIGEST is not set"),
        ("ASSAY_FETCH_DIGEST", "sha256:x", "it must be sha256: and 64 hexadecimal digits"),
        ("ASSAY_FETCH_MANIFEST_DIGEST", "md5:x", "it must be sha256: and 64 hexadecimal digits"),
        ("ASSAY_FETCH_DIR", "relative", "it must be a folder inside a volume"),
        ("ASSAY_FETCH_DIR", "/proc", "it must be a folder inside a volume"),
        ("ASSAY_FETCH_RETRY_SECONDS", "soon", "it must be a number from 1 to 86400"),
    ],
)
def test_wrong_settings_are_named(fetch: Fetch, variable: str, value: str, message: str) -> None:
    fetch.run(2, **{variable: value})
    assert message in fetch.message.read_text()
    assert variable in fetch.message.read_text()


def test_a_volume_that_cannot_be_written(fetch: Fetch) -> None:
    (fetch.directory.parent.parent / "file").write_bytes(b"")
    process = fetch.start(ASSAY_FETCH_DIR=str(fetch.directory.parent.parent / "file" / "model"))
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot write the model to" in log.splitlines()[-1]


def test_memory_does_not_grow_with_the_model(minio: S3Server, tmp_path: Path) -> None:
    contents = {"small": FILES, "large": {f"part-{number}": os.urandom(64 << 20) for number in range(4)}}
    peaks = {}
    for name, files in contents.items():
        (tmp_path / name).mkdir()
        peaks[name] = _peak_kib(Fetch(minio, tmp_path / name, files=files))
    assert peaks["large"] - peaks["small"] < 32 << 10, peaks


MEASURED = """
from assay.fetch.__main__ import main
code = main()
status = open("/proc/self/status").read()
print(next(line for line in status.splitlines() if line.startswith("VmHWM")))
raise SystemExit(code)
"""


def _peak_kib(fetch: Fetch) -> int:
    """The largest memory of one run."""
    command = [sys.executable, "-c", MEASURED]
    done = subprocess.run(command, env=fetch.environment, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout.split()[-2])
