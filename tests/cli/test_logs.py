"""Logs from the store; tests/e2e/test_command_line.py tests those of pods."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.store import archive, logs
from assay.store.layout import LogName
from tests.cli.conftest import Answer
from tests.cli.stand_in import StandIn
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def keep(stand_in: StandIn, run: Raw, name: LogName, *texts: str) -> None:
    """Put lines where the operator puts them."""
    lines = "".join(f"2026-03-01T12:00:{at:02d}.5Z {text}\n" for at, text in enumerate(texts))
    logs.put_part(stand_in.store, stand_in.prefix(run), name, 1, gzip.compress(lines.encode()))


def retried(stand_in: StandIn) -> Raw:
    """A run whose second pod has ended, after a restart of its container."""
    attempts = [{"pod": "r-a", "phase": "Failed"}, {"pod": "r-b", "phase": "Succeeded"}]
    status = {"phase": "Succeeded", "completionTime": "2026-03-01T12:01:05Z", "attempts": attempts}
    run = stand_in.run("r", status)
    keep(stand_in, run, LogName("r-a", "train"), "boom")
    keep(stand_in, run, LogName("r-b", "train"), "first try")
    keep(stand_in, run, LogName("r-b", "train", 1), "one", "\x1b[32mtwo\x1b[0m", "three", "four")
    keep(stand_in, run, LogName("r-b", "assay-recorder"), "recorded")
    return run


def test_a_stored_log_is_printed_byte_for_byte(assay: Assay, stand_in: StandIn) -> None:
    run = retried(stand_in)
    answer = assay("logs", "r")
    assert answer.out == "one\n\x1b[32mtwo\x1b[0m\nthree\nfour\n", "through a pipe it goes byte for byte"
    assert "from the store: pod r-b, container train, restart 1; --pod selects one of r-a, r-b" in answer.err
    assert assay("logs", "r", "--previous").out == "first try\n"
    assert assay("logs", "r", "--pod", "r-a").out == "boom\n"
    assert assay("logs", "r", "-c", "assay-recorder").out == "recorded\n"
    assert assay("logs", "r", "--tail", "1", "--timestamps").out == "2026-03-01T12:00:03.5Z four\n"
    assert assay("logs", "r", "-f").out == answer.out, "nothing follows in a run that is over"
    logs.note_gap(
        stand_in.store, stand_in.prefix(run), LogName("r-a", "train"), logs.Gap(reason="the node had rotated it")
    )
    assert "lines are missing: the node had rotated it" in assay("logs", "r", "--pod", "r-a").err


def test_logs_of_a_deleted_run_are_available(assay: Assay, stand_in: StandIn) -> None:
    run = retried(stand_in)
    records.open_record(stand_in.store, run)
    records.close_record(stand_in.store, run, "Succeeded", "JobComplete", [], "")
    archive.write_archived(stand_in.store, stand_in.prefix(run), run)
    stand_in.remove("run", "r")
    assert assay("logs", "r", "--tail", "1").out == "four\n"
    assert assay("show", "r", "-o", "json").json()["run"]["archived"] is True
    assert "only the store has this run" in assay("show", "r").out


def test_missing_logs_are_reported(assay: Assay, stand_in: StandIn) -> None:
    retried(stand_in)
    never = stand_in.run("never", {"phase": "Failed"})
    keep(stand_in, never, LogName("never-a", "assay-recorder"), "recording")
    fetching = stand_in.run("fetching", {"phase": "Failed"})
    keep(stand_in, fetching, LogName("fetching-a", "assay-fetch-data"), "expected the digest")
    keep(stand_in, fetching, LogName("fetching-a", "assay-recorder"), "recording")
    assert assay("logs", "fetching").out == "expected the digest\n"
    stand_in.run("new", {"phase": "Pending"})
    cases = {
        ("new",): (3, "the store has no log of run new"),
        ("never",): (3, "the store has no log of container train\n  containers: assay-recorder"),
        ("r", "-c", "trian"): (3, "the store has no log of container trian\n  did you mean train?"),
        ("r", "--pod", "r-c"): (3, "the store has no log of run r, pod r-c"),
        ("r", "--pod", "r-a", "-p"): (3, "container train has no previous start"),
        ("r", "-f", "-p"): (2, "--follow and --previous exclude each other"),
    }
    for argv, (code, message) in cases.items():
        answer = assay("logs", *argv)
        assert (answer.code, message in answer.err, answer.out) == (code, True, ""), (argv, answer)
