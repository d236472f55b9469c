import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.planning.runs.usage import CPU_CORES, CPU_SECONDS, MEMORY_BYTES, Point, Sample, Totals, points, samples

pytestmark = pytest.mark.unit

TIME = 1763700000.0


def container(**more: Any) -> dict[str, Any]:
    cpu = {"time": "2025-11-21T04:40:00Z", "usageNanoCores": 500_000_000, "usageCoreNanoSeconds": 12_500_000_000}
    memory = {"time": "2025-11-21T04:40:00Z", "workingSetBytes": 1024}
    return {"name": "train", "startTime": "2025-11-21T04:39:00Z", "cpu": cpu, "memory": memory, **more}


def summary(*containers: Any, uid: Any = "u1") -> dict[str, Any]:
    return {"node": {}, "pods": [{"podRef": {"uid": uid, "name": "p"}, "containers": list(containers)}]}


def sample(time: float, cpu: float, memory: float = 10, started: float = 0, name: str = "train") -> Sample:
    return Sample(name, TIME + time, started, cpu, memory, 0.25)


def test_container_samples_are_read_from_kubelet_statistics() -> None:
    assert samples(summary(container()), {"u1"}) == {"u1": [Sample("train", TIME, TIME - 60, 12.5, 1024, 0.5)]}


def test_only_pods_that_are_asked_for() -> None:
    assert samples(summary(container()), {"other"}) == {}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2025-11-21T04:40:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(["name", "startTime", "cpu", "memory"])
counters = st.sampled_from(["time", "usageNanoCores", "usageCoreNanoSeconds", "workingSetBytes"])


@given(st.dictionaries(fields, json_values), st.dictionaries(counters, json_values), json_values)
def test_parsing_survives_any_kubelet_answer(odd: dict[str, Any], cpu: dict[str, Any], rest: Any) -> None:
    found = container(**odd)
    other = container()
    other["cpu"] |= cpu
    other["memory"] |= cpu
    for answer in (summary(found, other, rest), {"pods": rest}, {"pods": [rest]}, summary(uid=rest)):
        for each in samples(answer, {"u1"}).values():
            for one in each:
                assert all(math.isfinite(value) and value >= 0 for value in one[3:])
                Totals().add("p", points(one, None))


def test_cores_are_the_mean_since_the_sample_before() -> None:
    first, second = sample(0, 1), sample(10, 9)
    assert points(second, first) == [
        Point("train", CPU_CORES, TIME + 10, 0.8),
        Point("train", CPU_SECONDS, TIME + 10, 9),
        Point("train", MEMORY_BYTES, TIME + 10, 10),
    ]


@pytest.mark.parametrize("before", [None, sample(0, 1, started=-5), sample(0, 99)])
def test_cores_are_taken_from_the_kubelet_without_a_previous_sample(before: Sample | None) -> None:
    assert points(sample(10, 9), before)[0].value == 0.25


def test_a_repeated_sample_is_counted_once() -> None:
    assert points(sample(0, 1), sample(0, 1)) == []


def test_totals_of_several_containers_and_pods() -> None:
    totals = Totals()
    for pod, found in (("a", sample(0, 5, 100)), ("a", sample(9, 7, 50)), ("b", sample(0, 1, 70))):
        totals.add(pod, points(found, None))
    totals.add("a", points(sample(9, 2, 20, name="side"), None))
    assert (totals.cpu_seconds, totals.max_memory_bytes, totals.samples) == (10, 100, 4)


lives = st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=5).map(sorted), min_size=1, max_size=4)


@given(lives)
def test_cpu_seconds_accumulate_across_container_restarts(lives: list[list[float]]) -> None:
    totals, expected, before = Totals(), 0.0, 0.0
    for life in lives:
        for value in life:
            totals.add("p", [Point("train", CPU_SECONDS, 0, value)])
        # A life that is seen only beyond where the one before ended cannot be told from it.
        expected += life[-1] - (before if life[0] >= before else 0)
        before = life[-1]
    assert totals.cpu_seconds == pytest.approx(expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_values_that_make_no_sense_are_not_counted(value: float) -> None:
    totals = Totals()
    totals.add("p", [Point("train", metric, 0, value) for metric in (CPU_SECONDS, MEMORY_BYTES)])
    assert (totals.cpu_seconds, totals.max_memory_bytes, totals.samples) == (0, 0, 0)
