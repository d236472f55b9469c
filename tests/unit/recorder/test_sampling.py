"""Sources that are sampled: the metrics endpoint of a container, and what the pod uses."""

import gzip
import json
import random
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from assay.recorder.collectors import prometheus, system, table
from assay.recorder.collectors.protocol import Surroundings
from assay.recorder.collectors.sampling import Sampler
from assay.recorder.record import Record
from assay.recorder.spool import Spool
from assay.recorder.stream import Recording
from assay.store.points.totals import Totals
from tests.unit.recorder.killing import Checkpoint, Killed

pytestmark = pytest.mark.unit


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def points(record: Record) -> list[tuple[str, float, float]]:
    return [(row["metric"], row["step"], float(row["value"])) for row in map(json.loads, record.rows)]


def test_a_container_is_scraped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "SECONDS", 0.05)
    registry, port = CollectorRegistry(), free_port()
    loss = Gauge("loss", "", ["split"], registry=registry)
    seen = Counter("examples_seen", "", registry=registry)
    Histogram("seconds", "", registry=registry).observe(0.5)
    loss.labels("val").set(0.5)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    collector = prometheus.endpoint(Surroundings(tmp_path, tmp_path, {"port": port}, lambda: 1.7e9), {"count": 7})
    record = Record(Totals())
    try:
        until(lambda: collector.poll(record, final=False), "the first sample is there")
        loss.labels("val").set(0.25)
        seen.inc(3)

        def changed() -> bool:
            while collector.poll(record, final=False):
                pass
            return len(record.rows) > 5

        until(changed, "the changes are there")
    finally:
        collector.close()
        server.shutdown()
        thread.join()
    found = points(record)
    first = {'loss{split="val"}': 0.5, "examples_seen_total": 0.0, "seconds_count": 1.0, "seconds_sum": 0.5}
    assert {name: value for name, step, value in found if step == 7} == first
    assert sorted((name, value) for name, step, value in found if step > 7) == [
        ("examples_seen_total", 3.0), ('loss{split="val"}', 0.25),
    ]  # fmt: skip
    assert collector.problem == ""
    assert collector.position()["count"] > 8


@pytest.mark.parametrize("path", ["/metrics", "/nothing"])
def test_an_endpoint_that_never_answers_is_reported(tmp_path: Path, path: str) -> None:
    port = free_port()
    collector = prometheus.endpoint(Surroundings(tmp_path, tmp_path, {"port": port, "path": path}, time.time), {})
    record = Record(Totals())
    until(lambda: collector.problem, "the failure is known")
    assert not collector.poll(record, final=True)
    collector.close()
    assert record.totals.events == [f"prometheus {collector.problem}"]
    assert "cannot be read: " in collector.problem


@pytest.mark.parametrize("text", ["<html>", "loss 0.5 x y z", "{"])
def test_another_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        prometheus.values(text)


def test_an_answer_that_the_parser_fails_on_does_not_end_the_sampling(tmp_path: Path) -> None:
    texts = ['loss{split="val", ="x"} 0.5\n', "loss 0.25\n"]  # the parser raises IndexError for the first one
    collector = Sampler("prometheus", lambda: prometheus.values(texts[0]), lambda: 1.7e9, 0.01, {})
    record = Record(Totals())
    try:
        until(lambda: collector.problem, "the failure is known")
        assert collector.problem == "cannot be read: IndexError: string index out of range"
        texts.pop(0)
        until(lambda: collector.poll(record, final=False), "a sample is there")
    finally:
        collector.close()
    assert points(record) == [("loss", 0, 0.25)]


def test_process_metrics_of_the_client_library_are_left_out() -> None:
    text = 'process_open_fds 3\npython_info{version="3"} 1\nloss NaN\nlatency{quantile="0.5"} 2\nlatency_sum 3\n'
    assert repr(dict(prometheus.values(text))) == repr({"loss": float("nan"), "latency_sum": 3.0})


def test_the_pod_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "SECONDS", 0.05)
    collector, record = system.sampler(Surroundings(tmp_path, tmp_path, {}, time.time), {}), Record(Totals())
    until(lambda: collector.poll(record, final=False), "the first sample is there")
    collector.close()
    found = {name: value for name, _, value in points(record)}
    assert {"system/network_received_bytes", "system/disk_used_bytes", "system/disk_free_bytes"} <= found.keys()
    assert found["system/disk_free_bytes"] > 0


def test_the_bytes_of_a_network() -> None:
    numbers = {"    lo": "9 1 0 0 0 0 0 0 9 1", "  eth0": "100 1 0 0 0 0 0 0 50 1", "  eth1": "10 1 0 0 0 0 0 0 5 1"}
    text = "Inter-|   Receive\n face |bytes\n" + "".join(f"{name}: {each}\n" for name, each in numbers.items())
    assert system.network(text) == {"system/network_received_bytes": 110.0, "system/network_sent_bytes": 55.0}


def test_a_killed_recorder_duplicates_no_sample_and_keeps_committed_ones(tmp_path: Path) -> None:
    taken, chance, checkpoint = [0], random.Random(5), Checkpoint()

    def sample() -> Mapping[str, float]:
        taken[0] += 1
        return {"taken": taken[0], "constant": 1e308, "métrique": taken[0] / 7}

    def clock() -> float:
        return 1.7e9 - taken[0]  # it goes backwards

    def start() -> Recording:
        source = lambda position: Sampler("sampled", sample, clock, 0.001, position)  # noqa: E731
        return Recording(Spool(tmp_path / "spool", "pod", checkpoint), {"sampled": source}, 300)

    def committed(recording: Recording) -> list[dict[str, Any]]:
        files = recording.spool.part_files(recording.state)
        return [json.loads(row) for file in files for row in gzip.decompress(file.read_bytes()).splitlines()]

    kills, known = 0, list[dict[str, Any]]()
    while kills < 50:
        checkpoint.at = chance.randrange(1, 40)
        recording = start()
        assert committed(recording)[: len(known)] == known, "what was committed stays"
        known = committed(recording)
        try:
            until(lambda found=recording: found.poll(final=False) and False, "killed")  # type: ignore[misc]
        except Killed:
            kills += 1
        recording.close()
    recording = start()
    recording.close()
    rows = [row for row in committed(recording) if row["metric"] == "taken"]
    values, steps = [row["value"] for row in rows], [row["step"] for row in rows]
    assert len(values) > 50
    assert values == sorted(set(values)), "each sample is there once"
    assert steps == sorted(set(steps))


def test_a_slow_source_does_not_delay_the_end() -> None:
    def slow() -> Mapping[str, float]:
        time.sleep(30)
        return {}

    collector = Sampler("slow", slow, time.time, 1, {})
    began = time.monotonic()
    assert not collector.poll(Record(Totals()), final=True)
    collector.close()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("collect", "expected"),
    [
        ({}, ["metrics.jsonl", "tensorboard"]),
        ({"tensorboard": False, "mlflow": False}, ["metrics.jsonl"]),
        ({"prometheus": {"port": 1}, "system": True}, ["metrics.jsonl", "tensorboard", "prometheus", "system"]),
        ({"system": False}, ["metrics.jsonl", "tensorboard"]),
    ],
)
def test_collectors_enabled_by_default_and_by_configuration(
    tmp_path: Path, collect: dict[str, Any], expected: list[str]
) -> None:
    found = table.opened(collect, tmp_path, tmp_path, time.time)
    assert [name for name in found if "MLflow" not in name] == expected
