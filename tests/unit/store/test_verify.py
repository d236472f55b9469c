"""Digests of models."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from assay.store.errors import NotFound
from assay.store.records import FileEntry
from assay.store.verify import model_digest

pytestmark = pytest.mark.unit


def entry(path: str, content: bytes) -> FileEntry:
    return FileEntry(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


FILES = {"artifacts/model/b.bin": b"B", "artifacts/model/a/w": b"A", "artifacts/model.txt": b"T", "artifacts/x": b"X"}
ENTRIES = [entry(path, content) for path, content in FILES.items()]


def test_the_digest_of_a_file_is_its_sha256() -> None:
    assert model_digest(ENTRIES, "artifacts/x") == f"sha256:{hashlib.sha256(b'X').hexdigest()}"


def test_the_digest_of_a_folder_equals_that_of_sha256sum(tmp_path: Path) -> None:
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    command = "find * -type f | xargs sha256sum | LC_ALL=C sort | sha256sum | cut -d' ' -f1"
    shell = subprocess.run(
        command, shell=True, cwd=tmp_path / "artifacts/model", capture_output=True, text=True, check=True
    )
    assert model_digest(ENTRIES, "artifacts/model") == f"sha256:{shell.stdout.strip()}"
    assert model_digest(ENTRIES, "artifacts/model/") == model_digest(list(reversed(ENTRIES)), "artifacts/model")


def test_the_digest_of_a_missing_path_is_not_found() -> None:
    with pytest.raises(NotFound, match="artifacts/mod"):
        model_digest(ENTRIES, "artifacts/mod")
