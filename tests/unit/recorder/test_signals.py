"""Only the processes themselves block signals: children of a process that imports their modules inherit its mask."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("module", ["assay.recorder.__main__", "assay.recorder.standby"])
def test_importing_the_module_blocks_no_signal(module: str) -> None:
    code = f"import signal, {module}; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "set()"
