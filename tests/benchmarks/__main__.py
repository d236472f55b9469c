"""``make bench``: print one ``name: value`` a line, ratios first, and write the same as JSON."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from tests.benchmarks import (
    beside_mlflow,
    binding,
    collectors,
    command_line,
    console,
    faults,
    launch,
    policies,
    runs,
    server,
    startup,
    verdict,
)

BENCHMARKS = {
    "launch": launch.measure,
    "binding": binding.measure,
    "verdict": verdict.measure,
    "startup": startup.measure,
    "policies": policies.measure,
    "help": command_line.measure,
    "runs": runs.measure,
    "mlflow": beside_mlflow.measure,
    "collectors": collectors.measure,
    "server": server.measure,
    "console": console.measure,
    "faults": faults.measure,
}


def main() -> int:
    """Run the benchmarks that the command line names, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, default=Path(".work/bench.json"))
    args = parser.parse_args()
    figures: dict[str, float] = {}
    for name in args.names:
        figures |= asyncio.run(BENCHMARKS[name]())
    ordered = sorted(figures, key=lambda name: (not name.endswith("_ratio"), name))
    for name in ordered:
        print(f"{name}: {figures[name]:.3g}")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({name: figures[name] for name in ordered}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
