"""Run by MLflow's interpreter: how long its client's calls take against the server of MLFLOW_TRACKING_URI, as JSON."""

import json
import sys
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric


def main() -> None:
    points, batches = map(int, sys.argv[1:])
    client = MlflowClient()
    found: dict[str, list[float]] = {"log_metric": [], "log_batch": []}
    with mlflow.start_run() as run:
        mlflow.log_metric("warm", 0.0)
        for step in range(points):
            start = time.perf_counter()
            client.log_metric(run.info.run_id, "loss", 1 / (step + 1), step=step)
            found["log_metric"].append(time.perf_counter() - start)
        for number in range(batches):
            metrics = [Metric("batch", float(i), 1_700_000_000_000 + i, 1000 * number + i) for i in range(1000)]
            start = time.perf_counter()
            client.log_batch(run.info.run_id, metrics=metrics)
            found["log_batch"].append(time.perf_counter() - start)
        history = client.get_metric_history(run.info.run_id, "loss")
    assert len(history) == points
    print(json.dumps(found))


if __name__ == "__main__":
    main()
