"""Tests that share a cluster run on one worker. If they were spread out, one would stop the cluster under the other."""

import re
import subprocess
import sys
from pathlib import Path

SEPARATE = """
import time, pytest
@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(4))
def test_separate(number):
    time.sleep(0.05)
"""


def test_tests_of_one_group_run_on_one_worker(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"test_{name}.py").write_text(SEPARATE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-n", "2", "--dist", "loadgroup", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    assert len(set(re.findall(r"^\[(gw\d)\]", done.stdout, re.MULTILINE))) == 1, done.stdout
