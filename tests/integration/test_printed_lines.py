"""What real libraries print is read with the settings that docs/collectors.md names."""

import json
import subprocess
from pathlib import Path

import pytest

from assay.store.points import printed
from assay.store.points.record import Record
from assay.store.points.totals import Totals
from assay.store.points.values import Progress
from tests.benchmarks import mlflow_server
from tests.cluster import paths

pytestmark = pytest.mark.integration

BOOSTING = paths.CHECKOUT / "tests/mlflow/boosting.py"
PATTERN = r"\[(?P<step>\d+)\]\ttrain-rmse:(?P<train_rmse>\S+)\ttrain-mae:\S+\teval-rmse:(?P<eval_rmse>\S+)"


@pytest.fixture(scope="module")
def printed_by_xgboost(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, dict[str, list[float]]]]:
    """The lines of a training, and XGBoost's own results."""
    interpreter = mlflow_server.python(paths.CHECKOUT / ".locks/mlflow-3.17.txt")
    target = tmp_path_factory.mktemp("xgboost") / "results.json"
    argv = [str(interpreter), "-P", str(BOOSTING), str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.splitlines(), json.loads(Path(target).read_text())


@pytest.mark.parametrize(
    ("options", "separator", "metrics"),
    [
        ({"format": "keyValue"}, "-", ("train-rmse", "train-mae", "eval-rmse", "eval-mae")),
        ({"format": "regex", "pattern": PATTERN}, "_", ("train_rmse", "eval_rmse")),
    ],
    ids=["keyValue", "regex"],
)
def test_the_lines_of_xgboost(
    printed_by_xgboost: tuple[list[str], dict[str, dict[str, list[float]]]],
    options: dict[str, str],
    separator: str,
    metrics: tuple[str, ...],
) -> None:
    lines, results = printed_by_xgboost
    record, progress, found = Record(Totals()), Progress(), printed.format_of(options)
    for line in lines:
        printed.take(line, 1.7e9, found, progress, record)
    points = {(row["metric"], row["step"]): row["value"] for row in map(json.loads, record.rows)}
    expected = {
        (metric, step): pytest.approx(value, abs=1e-5)  # XGBoost prints five digits
        for metric in metrics
        for part, name in [metric.split(separator)]
        for step, value in enumerate(results[part][name])
    }
    assert len(record.rows) == len(points)
    assert points == expected
