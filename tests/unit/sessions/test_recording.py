"""That the recorded day is the day that the test plays, and what a screen makes of a terminal's sequences."""

from pathlib import Path

import pytest

from tests.sessions import recording
from tests.sessions.day import STEPS, Played, as_typed
from tests.sessions.terminal import Screen

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/working-day.md"


def test_the_recorded_day_matches_the_played_steps() -> None:
    found = recording.parsed(DOCUMENT.read_text())
    assert len(found) == len(STEPS)
    for (command, screen), step in zip(found, STEPS, strict=True):
        assert as_typed(step).fullmatch(command), f"{command!r} was recorded, and {step.command!r} is played"
        assert not Played(step, command, step.code, screen).troubles(), command


def test_a_written_recording_is_parsed_without_its_folder(tmp_path: Path) -> None:
    played = [Played(step, f"{step.command} \\\n  --more", step.code, f"{tmp_path}/{step.person}/x") for step in STEPS]
    found = recording.parsed(recording.written(played, tmp_path))
    assert found == [(each.command, "~/x") for each in played]


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("one\r\ntwo\r\n", "one\ntwo"),
        ("10%\r20%\r\n", "20%"),
        ("\x1b[32mgreen\x1b[0m\x1b[?25l\r\n", "green"),
        ("frame 1\r\nline\r\n\x1b[1A\x1b[2K\x1b[1A\x1b[2Kframe 2\r\nend\r\n", "frame 2\nend"),
        ("longer\r\x1b[Kshort", "short"),
        ("a\r\nb\r\nc\x1b[2A\r\x1b[J", ""),
        ("\x1b]0;title\x07text", "text"),
    ],
)
def test_a_screen_keeps_what_is_seen_in_the_end(written: str, seen: str) -> None:
    screen = Screen()
    screen.write(written)
    assert screen.text() == seen
