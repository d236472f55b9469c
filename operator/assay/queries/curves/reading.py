"""The points of a run's metrics, read where they lie: of a pod that has ended its Parquet file, else its parts.

The files are copied into a folder that goes with the process, and asked by DuckDB, which is given no network: what
training pods have written is data here and nothing else.
"""

# ruff: noqa: S608 (what the queries are put together from is our own; names of metrics are parameters)
from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from assay.api.errors import ObjectNotFound, RequestFailed
from assay.api.objects import Raw
from assay.queries.references import near
from assay.queries.runs import recorded
from assay.store import layout, sealing
from assay.store.client import ObjectStore
from assay.store.errors import NotFound
from assay.store.parallel import ordered

if TYPE_CHECKING:
    import duckdb
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]
    Integers = NDArray[numpy.int64]

STEP, TIME = "step", "time"
_WORKERS = 8
_PART = re.compile(r"part-[0-9]{5,9}\.jsonl\.gz")
_COLUMNS = "{metric: 'VARCHAR', step: 'BIGINT', time: 'DOUBLE', value: 'DOUBLE'}"
#: Of one curve: 1.6 GB of memory. Whoever has more of them wants them as a file, and not from here.
_MAX_POINTS = 50_000_000


@dataclass(frozen=True)
class Curve:
    """One metric of one pod of a run, in the order in which it was written: arrays of the same length.

    ``x`` is what was asked for: the step, seconds since the run's first point of the metric, or another metric's value
    at the same step; ``time`` is in unix seconds.
    """

    run: str
    metric: str
    pod: str
    x: Floats
    step: Integers
    time: Floats
    value: Floats


def read_curve(store: ObjectStore, run: Raw, metric: str, x: str = STEP, pod: str = "") -> Curve:
    """Return one curve of a raw Run; of the pod that counts, unless another one is named. Raises AssayError.

    ``x`` is "step", "time" or the name of another metric: then points at whose step that one has no value are left out.
    """
    with points_of(store, run, pod) as points:
        return points.curve(metric, x)


class Points:
    """All points of one pod."""

    def __init__(self, run: str, pod: str, database: duckdb.DuckDBPyConnection, source: str) -> None:
        self._run, self._pod, self._database = run, pod, database
        # Text is parsed once; a Parquet file is quicker to read again than to keep.
        kind = "VIEW" if source.startswith("read_parquet") else "TABLE"
        good = "metric IS NOT NULL AND step IS NOT NULL AND isfinite(time) AND isfinite(value)"
        numbered = f"SELECT metric, step, time, value, row_number() OVER () AS n FROM {source}"
        self._ask(f"CREATE {kind} points AS SELECT * FROM ({numbered}) WHERE {good}")

    def metrics(self) -> list[str]:
        """The names of the metrics, sorted. Raises AssayError."""
        found = self._ask("SELECT DISTINCT metric FROM points ORDER BY metric").fetchall()
        return [name for (name,) in found]

    def curve(self, metric: str, x: str = STEP) -> Curve:
        """Return a metric. Raises AssayError when it, or the one to draw it over, has no points."""
        self._check(metric)
        axis, join, parameters = "step", "", [metric]
        if x == TIME:
            axis = "time - min(time) OVER ()"
        elif x != STEP:
            self._check(x)
            axis, parameters = "other.value", [x, metric]
            join = "JOIN (SELECT step, arg_max(value, n) AS value FROM points WHERE metric = ? GROUP BY step) other"
            join += " ON other.step = points.step"
        found = self._ask(
            f"SELECT CAST({axis} AS DOUBLE) AS x, points.step AS step, time, points.value AS value "
            f"FROM points {join} WHERE metric = ? ORDER BY n LIMIT {_MAX_POINTS + 1}",
            parameters,
        ).fetchnumpy()
        if len(found["x"]) > _MAX_POINTS:
            raise RequestFailed(
                f"{metric} of {self._run} has more than {_MAX_POINTS} points", hint="copy the Parquet file"
            )
        return Curve(self._run, metric, self._pod, found["x"], found["step"], found["time"], found["value"])

    def _check(self, metric: str) -> None:
        known = self.metrics()
        if metric not in known:
            said = f"it has {', '.join(known[:10])}" if known else "it has recorded no points yet"
            message = f"the run {self._run} has no metric {metric} (pod {self._pod})"
            raise ObjectNotFound(message, hint=near(metric, known) or said)

    def _ask(self, query: str, parameters: list[str] | None = None) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._database.execute(query, parameters or [])
        except duckdb.Error as error:
            said = " ".join(str(error).split())[:300]
            raise RequestFailed(f"the points of {self._run} (pod {self._pod}) cannot be read: {said}") from None


@contextmanager
def points_of(store: ObjectStore, run: Raw, pod: str = "") -> Iterator[Points]:
    """All points of the pod of a raw Run that counts, or of another one. Raises AssayError."""
    name, prefix = run["metadata"]["name"], layout.prefix_of(run)
    chosen = _pod(store, run, prefix, pod)
    with tempfile.TemporaryDirectory(prefix="assay-") as folder, _database(folder) as database:
        source = _copy(store, sealing.current(store, prefix, chosen), Path(folder))
        yield Points(name, chosen, database, source)


def _pod(store: ObjectStore, run: Raw, prefix: str, wanted: str) -> str:
    counting = recorded.pod_of(run)
    if not wanted and counting:
        return counting
    pods = sorted({*store.folders(f"{layout.pods_prefix(prefix)}/"), *store.folders(f"{layout.intake(prefix)}/")})
    if wanted in pods or (pods and not wanted):
        return wanted or pods[-1]
    name = run["metadata"]["name"]
    message = f"the run {name} has no record of a pod {wanted}" if wanted else f"no pod of the run {name} has begun yet"
    hint = near(wanted, pods) or (f"it has {', '.join(pods[:10])}" if pods else "")
    raise ObjectNotFound(message, hint=hint)


@contextmanager
def _database(folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    settings = {
        "temp_directory": folder,
        "home_directory": folder,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=settings) as database:
        yield database


def _copy(store: ObjectStore, pod: str, folder: Path) -> str:
    """Copy what a pod has recorded, and return it as a source for a query. Without anything it is an empty one."""
    parts = sorted(
        info.key for info in store.list(f"{pod}/{layout.METRICS}/") if _PART.fullmatch(info.key.rpartition("/")[2])
    )
    try:
        return f"read_parquet({_text(_download(store, folder, f'{pod}/{layout.PARQUET}'))})"
    except NotFound:
        files = list(ordered(partial(_download, store, folder), parts, _WORKERS))
    if not files:
        return "(SELECT NULL::VARCHAR AS metric, 0::BIGINT AS step, 0::DOUBLE AS time, 0::DOUBLE AS value WHERE false)"
    names = ", ".join(_text(file) for file in files)
    return f"read_json([{names}], format = 'newline_delimited', compression = 'gzip', columns = {_COLUMNS})"


def _download(store: ObjectStore, folder: Path, key: str) -> Path:
    target = folder / key.rpartition("/")[2]
    chunks = store.read_chunks(key)
    with target.open("wb") as file:
        file.writelines(chunks)
    return target


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
