"""The working day of docs/working-day.md, played again: every step comes to what it should, in everybody's own name."""

from collections.abc import Iterator

import pytest

from tests.cluster.charting import Release
from tests.sessions.day import STEPS, Player, Step
from tests.sessions.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def player(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Player:
    """Return who plays the day, on a stage that is ready."""
    stage = Stage(release, tmp_path_factory.mktemp("people"))
    stage.prepare()
    return Player(stage)


@pytest.fixture(autouse=True)
def in_order(request: pytest.FixtureRequest, broken: list[str]) -> Iterator[None]:
    """Leave out the steps behind one that failed: there is nothing for them to begin with."""
    if broken:
        pytest.skip(f"{broken[0]} has failed")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        broken.append(request.node.name)


@pytest.fixture(scope="module")
def broken() -> list[str]:
    """Return the step that has failed, if one has."""
    return []


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.person}: {step.command.splitlines()[0][:60]}")
def test_step_of_the_day(player: Player, step: Step) -> None:
    played = player.play(step)
    assert not played.troubles(), played.screen
