"""Consoles that lack characters, and readers that close the pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ASSAY = str(Path(sys.executable).parent / "assay")
MANIFEST = "apiVersion: assay.dev/v1alpha1\nkind: Rün\nmetadata: {name: a}\n"
VALID = """
apiVersion: assay.dev/v1alpha1
kind: ModelAlias
metadata: {name: digits.champion}
spec: {model: digits, alias: champion, version: 1}
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_a_console_lacks_are_replaced(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    text = MANIFEST.replace("Rün", "R→n")
    done = subprocess.run(
        [ASSAY, "validate", "-o", "json", "-"],
        input=text.encode() if encoding == "utf-8" else text.replace("→", "n").encode(),
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 6
    assert b"Traceback" not in done.stderr
    printed = subprocess.run(
        [sys.executable, "-c", "from assay.cli.__main__ import _replace_what_a_console_lacks as r; r(); print('→ ⠿')"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == ("→ ⠿\n".encode() if encoding == "utf-8" else b"? ?\n")


@pytest.mark.parametrize("reader", ["true", "head -c 1"])
@pytest.mark.parametrize("command", ["--help", "validate -o json {file}"])
def test_a_closed_pipe_is_not_an_error(tmp_path: Path, reader: str, command: str) -> None:
    file = tmp_path / "many.yaml"
    file.write_text("---\n".join([MANIFEST] * 2000))
    script = f"set -o pipefail; {ASSAY} {command.format(file=file)} | {reader} > /dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("0", "6" if "validate" in command else "0")
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder that has a valid manifest, an invalid one and a training script."""
    (folder / "train.py").write_text("print(1)\n")
    (folder / "invalid.yaml").write_text(MANIFEST)
    (folder / "valid.yaml").write_text(VALID)
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", ["--version", "--help", "validate valid.yaml", "validate -o json valid.yaml", "init train.py -o -"]
)
def test_a_full_disk_is_reported(tmp_path: Path, command: str) -> None:
    done = run(f"{ASSAY} {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert "error: cannot write the output: No space left on device\n" in done.stderr
    assert "bug" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [("--version", 0), ("validate valid.yaml", 0), ("validate invalid.yaml", 6), ("validate - < valid.yaml", 0)],
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_the_exit_code_does_not_depend_on_closed_streams(tmp_path: Path, command: str, code: int, closed: str) -> None:
    done = run(f"{ASSAY} {command} {closed}", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = run(f"{ASSAY} init train.py -o none/experiment.yaml", tmp_path)
    assert done.returncode == 1
    assert "error: cannot read or write none/experiment.yaml: No such file or directory\n" in done.stderr
    assert "bug" not in done.stderr
