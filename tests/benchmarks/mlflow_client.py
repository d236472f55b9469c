"""MLflow's half of the benchmark beside it. It runs in MLflow's own environment, and imports nothing of this project.

    python -P mlflow_client.py fill DATABASE FOLDER    put the rows of the standard input into a new database
    python -P mlflow_client.py                         answer requests, one JSON a line, about MLFLOW_TRACKING_URI

Rows are inserted in bulk through MLflow's own tables: by its API 20,000 runs take an hour. A run is given one point of
each metric in its history, the last one, and the curve all of its points; MLflow reads no histories when it searches.
"""

import json
import math
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

Raw = dict[str, Any]

_BATCH = 5_000
#: Of one answer, the most that the server allows: so that all runs take as few requests as can be.
_ALL = 50_000
_STATUS = {"Succeeded": "FINISHED", "Failed": "FAILED", "Running": "RUNNING", "Pending": "SCHEDULED"}


def fill(database: str, folder: str) -> None:
    """Make the tables and put every row of the standard input into them: runs, and curves as {"curve", "points"}."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(database, folder)
    experiments: dict[str, str] = {}
    runs: dict[str, str] = {}
    while batch := list(islice(sys.stdin, _BATCH)):
        rows = [json.loads(line) for line in batch]
        for name in {row["experiment"] for row in rows if "experiment" in row} - set(experiments):
            experiments[name] = store.create_experiment(name)
        _insert(store, [row for row in rows if "experiment" in row], experiments, runs)
        for row in rows:
            if "curve" in row:
                _insert_points(store, runs[row["run"]], row["curve"], row["points"])


def _insert(store: Any, rows: list[Raw], experiments: dict[str, str], ids: dict[str, str]) -> None:
    from mlflow.store.tracking.dbmodels import models

    runs, params, metrics, tags = [], [], [], []
    for row in rows:
        run = {"run_uuid": ids.setdefault(row["name"], uuid.uuid4().hex)}
        runs.append(
            {
                **run,
                "name": row["name"],
                "user_id": row["owner"],
                "status": _STATUS[row["phase"]],
                "start_time": row["start"],
                "end_time": row["end"],
                "artifact_uri": f"file:///none/{run['run_uuid']}",
                "experiment_id": int(experiments[row["experiment"]]),
            }
        )
        params += [{**run, "key": key, "value": str(value)} for key, value in row["parameters"].items()]
        tags += [{**run, "key": key, "value": value} for key, value in row["tags"].items()]
        for key, summary in row["metrics"].items():
            point = {"key": key, "value": summary["last"], "step": summary["step"], "timestamp": row["start"]}
            metrics.append({**run, **point, "is_nan": False})
    tables = {models.SqlRun: runs, models.SqlParam: params, models.SqlTag: tags}
    _write(store, {**tables, models.SqlLatestMetric: metrics, models.SqlMetric: metrics})


def _insert_points(store: Any, run: str, metric: str, points: Iterable[tuple[int, float, float]]) -> None:
    """Put (step, unix seconds, value) into a run's history."""
    from mlflow.store.tracking.dbmodels import models

    fixed = {"run_uuid": run, "key": metric, "is_nan": False}
    rows = [{**fixed, "step": step, "timestamp": round(1000 * at), "value": value} for step, at, value in points]
    _write(store, {models.SqlMetric: rows})


def _write(store: Any, tables: dict[Any, list[Raw]]) -> None:
    from sqlalchemy import insert

    with store.ManagedSessionMaker(read_only=False) as session:
        for table, rows in tables.items():
            if rows:
                session.execute(insert(table), rows)


class Client:
    """MLflow's Python client, as people use it."""

    def __init__(self) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        self._experiments = [each.experiment_id for each in self._client.search_experiments()]

    def search(self, where: str = "", limit: int = 0) -> tuple[float, list[str]]:
        """Return the seconds that it took to have the runs that match, of a limit the first page, and their names."""
        start = time.perf_counter()
        runs = list(self._runs(where, limit))
        seconds = time.perf_counter() - start
        return seconds, [each.info.run_name for each in runs]

    def _runs(self, where: str, limit: int) -> Iterator[Any]:
        token = None
        while True:
            found = self._client.search_runs(self._experiments, where, max_results=limit or _ALL, page_token=token)
            yield from found
            token = found.token
            if limit or not token:
                return

    def curve(self, run: str, metric: str) -> tuple[float, tuple[int, float]]:
        """Return the seconds that it took to read a metric of a run, how many points it has, and their sum."""
        [found] = self._client.search_runs(self._experiments, f"attributes.run_name = '{run}'", max_results=1)
        start = time.perf_counter()
        values = [each.value for each in self._client.get_metric_history(found.info.run_id, metric)]
        seconds = time.perf_counter() - start
        return seconds, (len(values), math.fsum(values))


def _answers(requests: Iterable[str]) -> Iterator[Raw]:
    client = Client()
    for line in requests:
        request = json.loads(line)
        verb = {"search": client.search, "curve": client.curve}[request.pop("do")]
        seconds, answer = verb(**request)
        yield {"seconds": seconds, "answer": answer}


if __name__ == "__main__":
    if sys.argv[1:2] == ["fill"]:
        fill(*sys.argv[2:])
    else:
        for each in _answers(sys.stdin):
            print(json.dumps(each), flush=True)
