"""Reads the points of a run's metrics from the store: the Parquet file of a pod that has ended, otherwise its parts.

The files are copied into a temporary folder and queried by DuckDB without network access: the content of files from
training pods is only data.
"""

# ruff: noqa: S608 (queries consist of constants; names of metrics are parameters)
from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from assay.api.errors import ObjectNotFound, RequestFailed
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.queries.references import near
from assay.queries.runs import recorded
from assay.store import layout, printed, sealing
from assay.store.client import ObjectStore
from assay.store.errors import NotFound
from assay.store.parallel import ordered

if TYPE_CHECKING:
    import duckdb
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

STEP, TIME = "step", "time"
_WORKERS = 8
_PART = re.compile(r"part-[0-9]{5,9}\.jsonl\.gz")
_COLUMNS = "{metric: 'VARCHAR', step: 'DOUBLE', time: 'DOUBLE', value: 'DOUBLE'}"
#: The maximum of one curve, which takes 1.6 GB of memory.
_MAX_POINTS = 50_000_000


_LIMIT = f"LIMIT {_MAX_POINTS + 1}"
#: A metric over another metric: for each of its points, the last value of the other metric at the same step.
_OVER_METRIC = f"""
    WITH numbered AS (SELECT *, row_number() OVER () AS n FROM points),
    other AS (SELECT step, arg_max(value, n) AS value FROM numbered WHERE metric = ? GROUP BY step)
    SELECT other.value AS x, numbered.step AS step, time, numbered.value AS value
    FROM numbered JOIN other ON other.step = numbered.step WHERE metric = ? ORDER BY n {_LIMIT}
"""


@dataclass(frozen=True)
class Curve:
    """One metric of one pod of a run, in the order in which it was written: arrays of the same length.

    ``x`` is the requested axis: the step, seconds since the run's first point of the metric, or another metric's value
    at the same step. ``time`` is in unix seconds. Values may be NaN or infinite, steps may be
    fractional. ``parameters`` are those of the run. ``container``: of samples of CPU and memory, which are one curve
    for each container; their steps count them.
    """

    run: str
    parameters: Raw
    metric: str
    pod: str
    x: Floats
    step: Floats
    time: Floats
    value: Floats
    container: str = ""


def read_curve(store: ObjectStore, run: Raw, metric: str, x: str = STEP, pod: str = "") -> Curve:
    """Return one curve of a raw Run, by default of the pod that counts. Raises AssayError.

    ``x`` is "step", "time" or the name of another metric; then points at steps without a value of it are omitted.
    """
    with points_of(store, run, pod) as points:
        return points.curve(metric, x)


class Points:
    """All points of one pod."""

    def __init__(self, run: Raw, pod: str, database: duckdb.DuckDBPyConnection, source: str) -> None:
        self._run, self._pod, self._database = run["metadata"]["name"], pod, database
        self._parameters: Raw = run["spec"].get("parameters") or {}
        # JSON is parsed once into a table; reading a Parquet file again is faster than a copy of it. Both keep the
        # order in which the points were written, and so does every query without an ORDER BY.
        kind = "VIEW" if source.startswith("read_parquet") else "TABLE"
        good = "metric IS NOT NULL AND isfinite(step) AND isfinite(time) AND value IS NOT NULL"
        columns = "metric, CAST(step AS DOUBLE) AS step, time, value"
        self._query(f"CREATE OR REPLACE TEMP {kind} points AS SELECT {columns} FROM {source} WHERE {good}")

    def metrics(self) -> list[str]:
        """The names of the metrics, sorted. Raises AssayError."""
        found = self._query("SELECT DISTINCT metric FROM points ORDER BY metric").fetchall()
        return [name for (name,) in found]

    def curve(self, metric: str, x: str = STEP) -> Curve:
        """Return the curve of a metric. Raises AssayError if it, or the metric of the x axis, has no points."""
        if x in (STEP, TIME):
            query, parameters = f"SELECT step, time, value FROM points WHERE metric = ? {_LIMIT}", [metric]
        else:
            query, parameters = _OVER_METRIC, [x, metric]
        found = self._query(query, parameters).fetchnumpy()
        if not len(found["step"]):
            self._check(metric)
            if x not in (STEP, TIME):
                self._check(x)
        if len(found["step"]) > _MAX_POINTS:
            raise RequestFailed(
                f"{metric} of {self._run} has more than {_MAX_POINTS} points",
                hint="download the Parquet file with `assay artifacts get`",
            )
        step, time, value = found["step"], found["time"], found["value"]
        axis = step if x == STEP else found["x"] if x != TIME else time - time.min() if len(time) else time
        return Curve(self._run, self._parameters, metric, self._pod, axis, step, time, value)

    def _check(self, metric: str) -> None:
        known = self.metrics()
        if metric not in known:
            others = f"metrics: {', '.join(known[:10])}" if known else "it has no points yet"
            message = f"run {self._run} has no metric {metric} (pod {self._pod})"
            raise ObjectNotFound(message, hint=near(metric, known) or others)

    def _query(self, query: str, parameters: list[str] | None = None) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._database.execute(query, parameters or [])
        except duckdb.Error as error:
            reason = " ".join(str(error).split())[:300]
            raise RequestFailed(f"cannot read the points of {self._run} (pod {self._pod}): {reason}") from None


@contextmanager
def points_of(store: ObjectStore, run: Raw, pod: str = "") -> Iterator[Points]:
    """The points of one pod of a raw Run, by default of the pod that counts. Raises AssayError."""
    prefix = layout.prefix_of(run)
    chosen = _pod(store, run, prefix, pod)
    with tempfile.TemporaryDirectory(prefix="assay-") as folder, _database() as database:
        source = _copy(store, prefix, chosen, Path(folder))
        if (run["spec"].get("collect") or {}).get("stdout"):
            source = _with_printed(store, printed.parts(store, prefix, chosen), Path(folder), source)
        yield Points(run, chosen, database, source)


def identity_of(store: ObjectStore, run: Raw, pod: str = "") -> str:
    """Return what identifies the points of one pod, "" while there may be more of them. Raises AssayError.

    Other points never have the same identity, wherever the store is the same.
    """
    if (run["spec"].get("collect") or {}).get("stdout") or (run.get("status") or {}).get("phase") not in TERMINAL:
        return ""
    prefix = layout.prefix_of(run)
    key = f"{layout.pod_prefix(prefix, _pod(store, run, prefix, pod))}/{layout.PARQUET}"
    try:
        size, tag = store.identity(key)
    except NotFound:
        return ""
    return f"{key} {size} {tag}" if tag else ""


def _pod(store: ObjectStore, run: Raw, prefix: str, requested: str) -> str:
    counting = recorded.pod_of(run)
    if not requested and counting:
        return counting
    pods = sorted({*store.folders(f"{layout.pods_prefix(prefix)}/"), *store.folders(f"{layout.intake(prefix)}/")})
    if requested in pods or (pods and not requested):
        return requested or pods[-1]
    name = run["metadata"]["name"]
    message = f"run {name} has no record of a pod {requested}" if requested else f"run {name} has not started a pod yet"
    hint = near(requested, pods) or (f"pods: {', '.join(pods[:10])}" if pods else "")
    raise ObjectNotFound(message, hint=hint)


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A separate connection with its own tables."""
    with _shared_database().cursor() as connection:
        yield connection


@cache
def _shared_database() -> duckdb.DuckDBPyConnection:
    """Return the process's only database: to make one takes longer than to read a short curve."""
    import duckdb

    folder = tempfile.mkdtemp(prefix="assay-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = {
        "temp_directory": folder,
        "home_directory": folder,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=settings)


def _copy(store: ObjectStore, run_prefix: str, pod: str, folder: Path) -> str:
    """Copy the points of a pod, and return them as the source of a query, which is empty without points."""
    # Most runs have ended: one request is enough for those.
    if found := _parquet(store, layout.pod_prefix(run_prefix, pod), folder):
        return found
    current = sealing.current(store, run_prefix, pod)
    parts = sorted(
        info.key for info in store.list(f"{current}/{layout.METRICS}/") if _PART.fullmatch(info.key.rpartition("/")[2])
    )
    if found := _parquet(store, current, folder):
        return found
    files = list(ordered(partial(_download, store, folder), parts, _WORKERS))
    if not files:
        return "(SELECT NULL::VARCHAR AS metric, 0::DOUBLE AS step, 0::DOUBLE AS time, 0::DOUBLE AS value WHERE false)"
    names = ", ".join(_text(file) for file in files)
    return f"read_json([{names}], format = 'newline_delimited', compression = 'gzip', columns = {_COLUMNS})"


def _parquet(store: ObjectStore, pod_prefix: str, folder: Path) -> str:
    """Copy the Parquet file of a pod, and return it as the source of a query; "" if there is none."""
    try:
        return f"read_parquet({_text(_download(store, folder, f'{pod_prefix}/{layout.PARQUET}'))})"
    except NotFound:
        return ""


def _with_printed(store: ObjectStore, keys: list[str], folder: Path, source: str) -> str:
    """Return a source with the points that the pod's containers printed after those of its recorder."""
    if not keys:
        return source
    names = []
    for at, key in enumerate(keys):
        (folder / str(at)).mkdir()
        names.append(_text(_download(store, folder / str(at), key)))
    found = f"read_json([{', '.join(names)}], format = 'newline_delimited', compression = 'gzip', columns = {_COLUMNS})"
    return f"(SELECT metric, step, time, value FROM {source} UNION ALL SELECT metric, step, time, value FROM {found})"


def _download(store: ObjectStore, folder: Path, key: str) -> Path:
    target = folder / key.rpartition("/")[2]
    chunks = store.read_chunks(key)
    with target.open("wb") as file:
        file.writelines(chunks)
    return target


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
