"""Compares output with golden files. ASSAY_GOLDEN=write replaces the files with the current output."""

import os
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    """Fail unless the text equals golden/<name>.txt."""
    file = _FOLDER / f"{name}.txt"
    if os.environ.get("ASSAY_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
