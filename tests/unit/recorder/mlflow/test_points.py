"""Points of one metric: duplicates are dropped, and nothing else."""

import random

import pytest

from assay.recorder.collectors.mlflow.points import Point, Points

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("spread", [1, 7, 10_000])
def test_exact_duplicates_count_once_whatever_the_order(spread: int) -> None:
    chance = random.Random(spread)
    points, known, expected = Points(), set[Point](), []
    for number in range(20_000):
        moved = number + chance.randrange(-spread, spread + 1)
        point = Point(float(chance.randrange(3)), 1000 + moved // 3, moved // 2)
        assert points.add(point, keep=True) == (point not in known)
        if point not in known:
            expected.append(point)
        known.add(point)
    assert list(points.slice(0, points.count)) == expected


def test_one_repeated_request_does_not_cost_memory_for_ever() -> None:
    points = Points()
    for step in [0, 0, *range(1, 5000)]:
        points.add(Point(1.0, step, step), keep=True)
    assert points.count == 5000
    assert points._seen is None
    assert not points.add(Point(1.0, 17, 17), keep=True)
