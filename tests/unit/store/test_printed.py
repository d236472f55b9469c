"""Points in what containers print: pairs, JSON and patterns, once each, wherever the operator is stopped."""

import gzip
import json
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.store import printed
from assay.store.errors import AlreadyExists, NotFound
from assay.store.layout import LogName, log_part, printed_part
from assay.store.points import printed as lines
from assay.store.points.record import Record
from assay.store.points.totals import Totals
from assay.store.points.values import Progress
from assay.store.records import Summary

pytestmark = pytest.mark.unit

PREFIX, NAME = "runs/ns/e/r/u", LogName("r-abc", "train", 0)
Raw = dict[str, Any]


def read(options: Raw, *texts: str) -> list[tuple[str, float, float]]:
    record, progress, found = Record(Totals()), Progress(), lines.format_of(options)
    for text in texts:
        lines.take(text, 1.7e9, found, progress, record)
    return [(row["metric"], row["step"], float(row["value"])) for row in map(json.loads, record.rows)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[3]\ttrain-rmse:0.48123\teval-rmse:0.5", [("train-rmse", 3, 0.48123), ("eval-rmse", 3, 0.5)]),
        ("[10]\tvalid_0's l2: 0.25", [("l2", 10, 0.25)]),
        ("Epoch 3/10 - loss: 0.5 - acc: 91.2%", [("loss", 3, 0.5), ("acc", 3, 91.2)]),
        ("step=7 epoch=2 loss=1e-3, lr=.5", [("loss", 7, 0.001), ("lr", 7, 0.5)]),
        ("loss=nan grad=-inf", [("loss", 0, float("nan")), ("grad", 0, float("-inf"))]),
        ("(val/f1=0.5) [step: 12]", [("val/f1", 12, 0.5)]),
        ("listening on http://localhost:8080 ok", []),
        ("version v=1.2.3 at 12:30:01", []),
        ("2026-01-01 12:30:01 nothing here", []),
        ("loss=0.5x", []),
    ],
)
def test_pairs(text: str, expected: list[tuple[str, float, float]]) -> None:
    assert repr(read({"format": "keyValue"}, text)) == repr(expected)


def test_json_lines_between_other_lines() -> None:
    texts = ["hello", '{"step": 0.5, "loss": 1, "msg": "x", "ts": 5}', "{broken", '{"loss": null}', '[{"a": 1}]']
    assert repr(read({"format": "json"}, *texts)) == repr([("loss", 0.5, 1.0), ("loss", 0.5, float("nan"))])


def test_an_integer_that_python_does_not_parse_leaves_the_rest_of_the_line() -> None:
    assert read({"format": "json"}, f'{{"step": 1, "seed": {"9" * 5000}, "loss": 0.5}}') == [("loss", 1, 0.5)]


def test_a_pattern_with_groups() -> None:
    options = {"format": "regex", "pattern": r"it (?P<step>\d+).* loss (?P<loss>\S+)(?: acc (?P<acc>[\d.]+))?"}
    found = read(options, "it 3: the loss 0.5", "it 4: the loss 0.25 acc 0.9", "it 5: the loss unknown", "nothing")
    assert found == [("loss", 3, 0.5), ("loss", 4, 0.25), ("acc", 4, 0.9)]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<loss>x", "the pattern is not valid in the syntax of RE2: missing ): (?P<loss>x"),
        (r"(?P<loss>x)(?=y)", "the pattern is not valid in the syntax of RE2: invalid perl operator: (?="),
        ("loss", "the pattern has no named group for a metric, such as (?P<loss>[0-9.]+)"),
        (r"(?P<step>\d+)", "the pattern has no named group for a metric, such as (?P<loss>[0-9.]+)"),
    ],
)
def test_an_unusable_pattern_is_reported(pattern: str, message: str) -> None:
    with pytest.raises(lines.InvalidPattern) as caught:
        lines.format_of({"format": "regex", "pattern": pattern})
    assert str(caught.value) == message


def test_a_pattern_takes_time_in_proportion_to_the_line() -> None:
    """With backtracking these would not end."""
    assert read({"format": "regex", "pattern": r"(?P<a>(x+x+)+)y"}, "x" * 60_000) == []
    assert read({"format": "keyValue"}, "a" * 60_000, "1a:" * 20_000, "=" * 60_000) == []


class Memory:
    """As much of a store as the parts of logs and points need."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes_left = -1

    def create(self, key: str, data: bytes, _: str) -> None:
        if self.writes_left == 0:
            raise KeyboardInterrupt
        self.writes_left -= 1
        if key in self.objects:
            raise AlreadyExists(key)
        self.objects[key] = data

    def list(self, start: str) -> Iterator[Any]:
        return (SimpleNamespace(key=key) for key in sorted(self.objects) if key.startswith(start))

    def get_bytes(self, key: str, _: int) -> bytes:
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    def read_chunks(self, key: str) -> Iterator[bytes]:
        yield self.objects[key]


def logged(store: Memory, count: int, chance: random.Random) -> int:
    """Store a log of lines, and some very long ones, in parts that end anywhere. Return the number of parts."""
    stored = []
    for step in range(count):
        stamp = f"2026-01-01T00:{step // 60 % 60:02}:{step % 60:02}.{step:09}Z"
        text = f"step={step} loss={step / 3!r} noise"
        stored.append(f"{stamp} {text}")
        if chance.random() < 0.1:  # a line that is stored in pieces is ignored
            stored += [f"{stamp} loss=9 {'x' * 64_000}", f"{stamp}+ loss=9"]
    number, at = 0, 0
    while at < len(stored):
        number += 1
        size = chance.randrange(1, 40)
        data = "".join(line + "\n" for line in stored[at : at + size])
        store.objects[f"{PREFIX}/{log_part(NAME, number)}"] = gzip.compress(data.encode())
        at += size
    return number


def advance(store: Memory, options: Raw, upto: int, state: printed.State | None = None) -> printed.State:
    return printed.advance(cast(Any, store), PREFIX, NAME, options, [], upto, state)


def points(store: Memory) -> list[tuple[float, float]]:
    keys = printed.parts(store, PREFIX, NAME.pod)  # type: ignore[arg-type]
    rows = [json.loads(row) for key in keys for row in gzip.decompress(store.objects[key]).splitlines()]
    return [(row["step"], row["value"]) for row in rows if "metric" in row]


def test_no_point_is_lost_or_duplicated_when_the_operator_stops() -> None:
    chance, store, options = random.Random(4), Memory(), {"format": "keyValue"}
    parts = logged(store, 3000, chance)
    state, stops, upto = None, 0, 0
    while upto < parts:
        upto = min(parts, upto + chance.randrange(1, 9))
        store.writes_left = chance.randrange(0, 8)
        try:
            state = advance(store, options, upto, state)
        except KeyboardInterrupt:
            stops, state, upto = stops + 1, None, max(0, upto - 9)
        if chance.random() < 0.2:
            state = None
    assert stops > 20
    store.writes_left = -1
    advance(store, options, parts)
    assert points(store) == [(step, step / 3) for step in range(3000)]
    found = printed.summary(store, PREFIX, NAME.pod, None)  # type: ignore[arg-type]
    assert found is not None
    assert (found.points, found.metrics["loss"].count, found.metrics["loss"].step) == (3000, 3000, 2999)


def test_printed_and_recorded_metrics_share_one_summary() -> None:
    store = Memory()
    data = "2026-01-01T00:00:00.1Z loss=0.5 a=1\n2026-01-01T00:00:01.1Z loss=0.25\n"
    store.objects[f"{PREFIX}/{log_part(NAME, 1)}"] = gzip.compress(data.encode())
    advance(store, {"format": "keyValue"}, 1)
    own = {"last": 3.0, "step": 1, "count": 1, "min": 3.0, "max": 3.0}
    recorder = Summary.model_validate({"pod": "r-abc", "updated": "now", "points": 1, "metrics": {"a": own}})
    found = printed.summary(store, PREFIX, "r-abc", recorder)  # type: ignore[arg-type]
    assert found is not None
    assert (found.points, found.updated, found.metrics["a"].last, found.metrics["loss"].min) == (4, "now", 3.0, 0.25)
    assert printed.summary(Memory(), PREFIX, "r-abc", recorder) == recorder  # type: ignore[arg-type]


def test_each_start_of_a_container_has_its_own_folder() -> None:
    names = [LogName("p", "c", 0), LogName("p", "c", 2)]
    assert [printed_part(name, 3) for name in names] == [
        "printed/p/c/part-00003.jsonl.gz",
        "printed/p/c.2/part-00003.jsonl.gz",
    ]
