"""Consoles that lack characters, and readers that close the pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ASSAY = str(Path(sys.executable).parent / "assay")
MANIFEST = "apiVersion: assay.dev/v1alpha1\nkind: Rün\nmetadata: {name: a}\n"


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
