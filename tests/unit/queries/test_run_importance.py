"""Which parameters matter: shares, directions, and what cannot be answered."""

import random
import subprocess
import sys
from typing import Any

import pytest

from assay.api.errors import AssayError, InvalidRequest
from assay.queries.runs import importance
from assay.queries.runs.rows import RunRow, of_run

pytestmark = pytest.mark.unit


def row(number: int, value: Any, **parameters: Any) -> RunRow:
    created = f"2026-03-01T12:{number // 60:02}:{number % 60:02}Z"
    metadata = {"name": f"r{number}", "uid": f"u{number}", "creationTimestamp": created}
    summary = {} if value is None else {"loss": {"last": value}}
    return of_run({"metadata": metadata, "spec": {"parameters": parameters}, "status": {"metrics": summary}})


def searched(count: int = 60) -> list[RunRow]:
    """Runs whose loss depends on the learning rate, hardly on the depth, and on nothing else."""
    chance = random.Random(3)
    found = []
    for number in range(count):
        rate, depth = 10 ** chance.uniform(-4, -1), chance.randint(1, 8)
        more = {"optimizer": chance.choice(["adam", "sgd"]), "fixed": 1, "nested": {"a": number}}
        found.append(row(number, rate + depth / 1000, lr=rate, depth=depth, **more))
    return found


def test_the_parameter_that_decides_comes_first() -> None:
    found = importance.importances(searched(), "loss", minimized=True)
    assert found.count == 60
    assert found.items[0].name == "lr"
    assert {each.name for each in found.items} == {"lr", "depth", "optimizer"}
    assert sum(each.share for each in found.items) == pytest.approx(1)
    by_name = {each.name: each for each in found.items}
    assert by_name["lr"].share > 0.6
    assert (by_name["lr"].correlation or 0) > 0.9
    assert by_name["optimizer"].correlation is None


def test_the_direction_decides_which_runs_are_the_best() -> None:
    """Low values depend on x alone, high ones on y alone."""
    rows = []
    for number in range(300):
        chance = random.Random(number)
        x, y = chance.random(), chance.random()
        rows.append(row(number, x - 1 if x < 0.15 else y if y > 0.85 else 0.1 + chance.random() / 2, x=x, y=y))
    low = importance.importances(rows, "loss", minimized=True).items[0].name
    high = importance.importances(rows, "loss", minimized=False).items[0].name
    assert (low, high) == ("x", "y")


def test_runs_without_a_finite_value_do_not_count() -> None:
    rows = [*searched(20), row(99, "NaN", lr=1.0), row(98, None, lr=1.0), row(97, "Infinity", lr=1.0)]
    assert importance.importances(rows, "loss", minimized=True).count == 20


def test_a_parameter_that_some_runs_lack_or_that_changes_its_type_is_left_out() -> None:
    rows = [*searched(20), row(90, 0.5, lr=0.1, depth="deep", optimizer="adam"), row(91, 0.4, lr=0.2, depth=3)]
    assert [each.name for each in importance.importances(rows, "loss", minimized=True).items] == ["lr"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(searched(5), "needs 8 runs with a value of loss, not 5", id="few"),
        pytest.param([row(number, number, same=1) for number in range(10)], "no parameter differs", id="same"),
        pytest.param([row(number, number, n=f"run {number}") for number in range(60)], "no parameter", id="names"),
    ],
)
def test_a_question_without_an_answer_gives_the_reason(rows: list[RunRow], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        importance.importances(rows, "loss", minimized=True)


def test_equal_values_everywhere_are_no_error() -> None:
    rows = [row(number, 1.0, lr=number / 10) for number in range(10)]
    (only,) = importance.importances(rows, "loss", minimized=True).items
    assert (only.name, only.correlation) == ("lr", None)


def test_without_optuna_the_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(AssayError, match="needs the package optuna"):
        importance.importances(searched(), "loss", minimized=True)


def test_the_databases_that_the_image_lacks_are_not_imported() -> None:
    text = (
        "import sys; sys.modules.update(dict.fromkeys(('sqlalchemy', 'alembic', 'mako', 'scipy', 'sklearn'))); "
        "from tests.unit.queries.test_run_importance import searched; from assay.queries.runs import importance; "
        "print(importance.importances(searched(), 'loss', minimized=True).items[0].name)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout == "lr\n", done.stderr
