"""How long `assay --help` takes, beside `kubectl --help`: a new process each, in turns, with the bytecode kept."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster import builds

ROUNDS = 21


async def measure() -> dict[str, float]:
    """Return help_startup_ms and kubectl_help_startup_ms, medians, and the first as a multiple of the second."""
    assay, kubectl = str(Path(sys.executable).with_name("assay")), builds.ensure(with_node=False)["kubectl"]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_milliseconds(assay, "--help"))
        theirs.append(_milliseconds(kubectl, "--help"))
    help_, floor = statistics.median(ours), statistics.median(theirs)
    return {"help_startup_ratio": help_ / floor, "help_startup_ms": help_, "kubectl_help_startup_ms": floor}


def _milliseconds(*argv: str) -> float:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(argv, env=kept, stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - start)
