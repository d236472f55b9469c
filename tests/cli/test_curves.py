"""Curves, drawn and as points, of running and finished runs."""

import csv
import io
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pytest

from assay.queries.curves.reading import read_curve
from assay.store import system
from tests.cli import golden
from tests.cli.conftest import PROGRAM, Answer
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.stand_in import BEGUN, Point, StandIn
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
STARTED = 1763700000.0


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def points(scale: float, steps: int = 100) -> list[Point]:
    """A loss that falls, and an accuracy every tenth step."""
    found: list[Point] = []
    for step in range(1, steps + 1):
        found.append(("loss", step, STARTED + step / 2, scale * math.exp(-step / 25) + 0.01))
        if step % 10 == 0:
            found.append(("val/accuracy", step, STARTED + step / 2, 1 - scale * math.exp(-step / 25)))
    return found


def ended(stand_in: StandIn, name: str, scale: float, scratch: Path) -> Raw:
    """A run of two pods that has succeeded; the second one counts."""
    run = stand_in.run(name, objective={"metric": "loss", "direction": "minimize"})
    uri = f"s3://assay/{stand_in.prefix(run)}/"
    record = {"uri": uri, "artifacts": f"{uri}pods/{name}-second/artifacts/", "complete": True}
    stand_in.streamed(run, f"{name}-first", [points(9.0, 3)])
    stand_in.compacted(run, f"{name}-second", points(scale), scratch)
    return stand_in.set_status("run", name, {"phase": "Succeeded", "startTime": BEGUN, "record": record})


def going(stand_in: StandIn, name: str, scale: float) -> Raw:
    """A running run, whose pod has uploaded two parts so far."""
    run = stand_in.run(name, objective={"metric": "loss", "direction": "minimize"})
    found = points(scale)
    stand_in.streamed(run, f"{name}-pod", [found[:50], found[50:]])
    return stand_in.set_status(
        "run", name, {"phase": "Running", "attempts": [{"pod": f"{name}-pod", "phase": "Running"}]}
    )


def test_a_finished_and_a_running_run_are_drawn_together(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    ended(stand_in, "one", 1.0, tmp_path)
    going(stand_in, "two", 2.0)
    golden.check("curves", assay("curves", "one", "two", "--metric", "loss", COLUMNS="78", LINES="24").out)
    smooth = ("--log-y", "--x", "time", "--smooth", "0.6")
    golden.check("curves-log", assay("curves", "one", "--metric", "loss", *smooth, COLUMNS="78", LINES="20").out)


def test_a_legend_shows_parameters_of_the_runs(assay: Assay, stand_in: StandIn) -> None:
    for name, depth in (("one", 2), ("two", 3)):
        run = stand_in.run(name, parameters={"depth": depth, "kind": "a"})
        stand_in.streamed(run, f"{name}-pod", [points(1.0, 3)])
        stand_in.set_status("run", name, {"phase": "Running", "attempts": [{"pod": f"{name}-pod", "phase": "Running"}]})
    drawn = assay("curves", "one", "two", "--metric", "loss", "--legend", "kind, depth")
    assert [line[:24].strip() for line in drawn.lines[-2:]] == ["a  one (kind a, depth 2)", "b  two (kind a, depth 3)"]
    found = assay("curves", "one", "--metric", "loss", "-o", "json").json()["items"]
    assert found[0]["parameters"] == {"depth": 2, "kind": "a"}
    unknown = assay("curves", "one", "--metric", "loss", "--legend", "deph")
    assert (unknown.code, "did you mean depth?" in unknown.err) == (2, True)


def test_points_are_printed_as_recorded(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    run = ended(stand_in, "one", 1.0, tmp_path)
    expected = [(step, time, value) for name, step, time, value in points(1.0) if name == "loss"]
    rows = list(csv.DictReader(io.StringIO(assay("curves", "one", "-o", "csv").out)))
    assert [(int(row["step"]), float(row["time"]), float(row["value"])) for row in rows] == expected
    assert {(row["run"], row["metric"], row["pod"]) for row in rows} == {("one", "loss", "one-second")}
    [item] = assay("curves", "one", "--x", "time", "--smooth", "0.5", "-o", "json").json()["items"]
    assert item["value"] == [value for _, _, value in expected]
    assert item["x"] == [time - expected[0][1] for _, time, _ in expected]
    assert item["smoothed"][1] == pytest.approx((expected[0][2] * 0.25 + expected[1][2] * 0.5) / 0.75)
    curve = read_curve(stand_in.store, run, "loss", pod="one-first")
    assert curve.step.tolist() == [1, 2, 3]


def test_a_metric_over_another_metric_has_only_common_steps(assay: Assay, stand_in: StandIn) -> None:
    going(stand_in, "two", 2.0)
    [item] = assay("curves", "two", "--metric", "loss", "--x", "val/accuracy", "-o", "json").json()["items"]
    assert item["step"] == [*range(10, 101, 10)]
    values = {(name, step): value for name, step, _, value in points(2.0)}
    assert item["x"] == [values["val/accuracy", step] for step in item["step"]]
    assert item["value"] == [values["loss", step] for step in item["step"]]


def test_parquet_is_readable_by_other_programs(
    governed: Cluster, stand_in: StandIn, namespace: str, tmp_path: Path
) -> None:
    going(stand_in, "two", 2.0)
    file = tmp_path / "points.parquet"
    environment = {"KUBECONFIG": str(governed.kubeconfig), **governed.store.environment()}
    argv = [PROGRAM, "curves", "two", "-o", "parquet", "-n", namespace]
    with file.open("wb") as out:
        subprocess.run(argv, env=environment, stdout=out, check=True, timeout=TIMEOUT_SECONDS)
    rows = duckdb.sql(f"SELECT step, value FROM '{file}' ORDER BY step").fetchall()
    assert rows == [(step, value) for name, step, _, value in points(2.0) if name == "loss"]


def test_curves_are_drawn_into_files(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    ended(stand_in, "one", 1.0, tmp_path)
    going(stand_in, "two", 2.0)
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("html", b"<!doctype html>")):
        file = tmp_path / f"curves.{kind}"
        answer = assay("curves", "one", "two", "--metric", "loss", "--log-x", "--save", str(file))
        assert answer.code == 0, answer.err
        assert answer.err == f"wrote 2 curves to {file}\n"
        assert file.read_bytes().startswith(start)
    drawn = ElementTree.fromstring((tmp_path / "curves.svg").read_text())
    assert {"one", "two", "loss", "step"} <= {text.strip() for text in drawn.itertext()}
    page = (tmp_path / "curves.html").read_text()
    assert "<td>two</td><td>100</td>" in page
    assert "src=" not in page, "the page has all that it shows"


def test_curves_that_cannot_be_drawn_are_reported(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    going(stand_in, "two", 2.0)
    stand_in.run("silent", {"phase": "Pending"})
    cases = {
        ("two", "--metric", "los"): (3, "run two has no metric los (pod two-pod)\n  did you mean loss?"),
        ("two", "--x", "val/acuracy"): (3, "did you mean val/accuracy?"),
        ("two", "--pod", "two-pot"): (3, "no record of a pod two-pot\n  did you mean two-pod?"),
        ("silent", "--metric", "loss"): (3, "run silent has not started a pod yet"),
        ("two", "--smooth", "1"): (2, "invalid --smooth 1"),
        ("two", "--save", "curves.gif"): (2, "cannot draw into curves.gif"),
        ("two", "--save", str(tmp_path / "none" / "a.png")): (1, "a.png: No such file or directory"),
    }
    for argv, (code, message) in cases.items():
        answer = assay("curves", *argv)
        assert (answer.code, message in answer.err) == (code, True), (argv, answer)
    aimless = stand_in.run("aimless", {"phase": "Running", "attempts": [{"pod": "p", "phase": "Running"}]})
    stand_in.streamed(aimless, "p", [[("below", 1, STARTED, -1.0)]])
    assert "choose one with --metric: below" in assay("curves", "aimless").err
    assert "no point for a logarithmic axis" in assay("curves", "aimless", "--metric", "below", "--log-y").err


def test_an_unreadable_parquet_file_is_reported(assay: Assay, stand_in: StandIn) -> None:
    run = going(stand_in, "two", 2.0)
    key = f"{stand_in.prefix(run)}/pods/two-pod/metrics.parquet"
    stand_in.store.put_bytes(key, b"PAR1 this is none")
    broken = assay("curves", "two")
    assert broken.code == 1
    assert "cannot read the points of two (pod two-pod)" in broken.err


def sampled(stand_in: StandIn, run: Raw, pod: str, containers: tuple[str, ...] = ("train",)) -> None:
    """Samples of 20 minutes."""
    rows = [
        {
            "container": container,
            "metric": f"system.{metric}",
            "time": STARTED + 15 * at,
            "value": value * (1 + at / 80),
        }
        for at in range(80)
        for container in containers
        for metric, value in (("cpu_cores", 0.5), ("cpu_seconds", 7.5), ("memory_bytes", 1e9))
    ]
    system.append(stand_in.store, stand_in.prefix(run), pod, None, rows)


def test_cpu_and_memory_are_drawn_and_printed(assay: Assay, stand_in: StandIn) -> None:
    one, two = going(stand_in, "one", 1.0), going(stand_in, "two", 1.0)
    stand_in.run("three", {"phase": "Succeeded", "usage": {"message": "the node is not trusted"}})
    none = assay("curves", "three", "--system")
    assert (none.code, "no samples of CPU and memory" in none.err, "three: the node is" in none.err) == (3, True, True)
    sampled(stand_in, one, "one-pod")
    sampled(stand_in, two, "two-pod", ("train", "side"))
    drawn = assay("curves", "one", "--system", COLUMNS="78", LINES="20")
    golden.check("curves-system", drawn.out)
    together = assay("curves", "one", "two", "three", "--system", "--metric", "system.memory_bytes")
    assert [line[3:20].strip() for line in together.lines[-3:]] == ["one", "two two-pod/side", "two two-pod/train"[:17]]
    assert "omitted three: the node is not trusted" in together.err
    items = assay("curves", "one", "two", "--system", "-o", "json").json()["items"]
    cores = [(each["run"], each["pod"], each["container"]) for each in items if each["metric"] == "system.cpu_cores"]
    assert cores == [("one", "one-pod", "train"), ("two", "two-pod", "side"), ("two", "two-pod", "train")]
    head, first, *_ = csv.reader(io.StringIO(assay("curves", "one", "--system", "-o", "csv").out))
    assert dict(zip(head, first, strict=True))["container"] == "train"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--x", "loss"), "no axis but time"), (("--metric", "loss"), "invalid --metric loss"), (("--pod", "p"), "pod p")],
)
def test_samples_that_there_cannot_be_are_refused(
    assay: Assay, stand_in: StandIn, arguments: tuple[str, ...], message: str
) -> None:
    sampled(stand_in, going(stand_in, "one", 1.0), "one-pod")
    answer = assay("curves", "one", "--system", *arguments)
    assert answer.code != 0
    assert message in answer.err
