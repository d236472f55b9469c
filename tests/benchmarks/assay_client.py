"""Assay's half of the benchmark beside MLflow: the command line, again and again in one process.

    python -m tests.benchmarks.assay_client NAMESPACE    answer requests, one JSON a line

It signs in as the environment says, each time anew. Answers are as those of ``mlflow_client``.
"""

import io
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from typing import Any

from assay.cli.app import app
from assay.cli.session import Session
from assay.queries import references
from assay.queries.curves.reading import read_curve

Raw = dict[str, Any]


def search(namespace: str, where: str = "", limit: int = 0) -> tuple[float, list[str]]:
    """Have `assay runs` print the runs that match, whole; return the seconds that it took, and their names."""
    argv = search_command(namespace, where, limit)
    printed = io.StringIO()
    start = time.perf_counter()
    with redirect_stdout(printed):
        app(argv, prog_name="assay", standalone_mode=False)
    seconds = time.perf_counter() - start
    return seconds, names(printed.getvalue())


def search_command(namespace: str, where: str = "", limit: int = 0) -> list[str]:
    """Return the arguments of `assay` for a search."""
    argv = ["runs", "--namespace", namespace, "-o", "json"]
    argv += ["--where", where] if where else []
    return argv + (["--limit", str(limit)] if limit else [])


def names(printed: str) -> list[str]:
    """Return the names of the runs that `assay runs -o json` has printed."""
    return [each["name"] for each in json.loads(printed)["items"]]


def curve(namespace: str, run: str, metric: str) -> tuple[float, tuple[int, float]]:
    """Read a curve; return the seconds that it took, how many points it has, and their sum."""
    session = Session(namespace_option=namespace)
    found = references.run(session, run)
    start = time.perf_counter()
    read = read_curve(session.store, found, metric)
    seconds = time.perf_counter() - start
    return seconds, (len(read.value), math.fsum(read.value.tolist()))


def _answers(requests: Iterable[str], namespace: str) -> Iterator[Raw]:
    for line in requests:
        request = json.loads(line)
        verb = {"search": search, "curve": curve}[request.pop("do")]
        seconds, answer = verb(namespace, **request)
        yield {"seconds": seconds, "answer": answer}


if __name__ == "__main__":
    for each in _answers(sys.stdin, sys.argv[1]):
        print(json.dumps(each), flush=True)
