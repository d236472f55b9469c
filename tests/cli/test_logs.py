"""What runs have printed, out of the store; the logs of pods are in tests/e2e/test_command_line.py."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.store import archive, logs
from assay.store.layout import LogName
from tests.cli.conftest import Answer
from tests.cli.told import Told
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]


@pytest.fixture
def told(governed: Cluster, namespace: str) -> Told:
    return Told(governed, namespace)


def keep(told: Told, run: Raw, name: LogName, *texts: str) -> None:
    """Put lines where the operator puts them."""
    lines = "".join(f"2026-03-01T12:00:{at:02d}.5Z {text}\n" for at, text in enumerate(texts))
    logs.put_part(told.store, told.prefix(run), name, 1, gzip.compress(lines.encode()))


def retried(told: Told) -> Raw:
    """A run whose second pod has ended, after a restart of its container."""
    attempts = [{"pod": "r-a", "phase": "Failed"}, {"pod": "r-b", "phase": "Succeeded"}]
    status = {"phase": "Succeeded", "completionTime": "2026-03-01T12:01:05Z", "attempts": attempts}
    run = told.run("r", status)
    keep(told, run, LogName("r-a", "train"), "boom")
    keep(told, run, LogName("r-b", "train"), "first try")
    keep(told, run, LogName("r-b", "train", 1), "one", "\x1b[32mtwo\x1b[0m", "three", "four")
    keep(told, run, LogName("r-b", "assay-recorder"), "recorded")
    return run


def test_the_log_that_is_kept_is_printed_as_it_was(assay: Assay, told: Told) -> None:
    run = retried(told)
    answer = assay("logs", "r")
    assert answer.out == "one\n\x1b[32mtwo\x1b[0m\nthree\nfour\n", "through a pipe it goes byte for byte"
    assert "from the store: pod r-b, container train, restart 1; --pod selects one of r-a, r-b" in answer.err
    assert assay("logs", "r", "--previous").out == "first try\n"
    assert assay("logs", "r", "--pod", "r-a").out == "boom\n"
    assert assay("logs", "r", "-c", "assay-recorder").out == "recorded\n"
    assert assay("logs", "r", "--tail", "1", "--timestamps").out == "2026-03-01T12:00:03.5Z four\n"
    assert assay("logs", "r", "-f").out == answer.out, "nothing follows in a run that is over"
    logs.note_gap(told.store, told.prefix(run), LogName("r-a", "train"), logs.Gap(reason="the node had rotated it"))
    assert "lines are missing: the node had rotated it" in assay("logs", "r", "--pod", "r-a").err


def test_the_logs_of_a_run_that_is_gone_are_there(assay: Assay, told: Told) -> None:
    run = retried(told)
    records.open_record(told.store, run)
    records.close_record(told.store, run, "Succeeded", "JobComplete", [], "")
    archive.write_archived(told.store, told.prefix(run), run)
    told.remove("run", "r")
    assert assay("logs", "r", "--tail", "1").out == "four\n"


def test_what_is_not_kept_is_said(assay: Assay, told: Told) -> None:
    retried(told)
    told.run("new", {"phase": "Pending"})
    cases = {
        ("new",): (3, "the store has no log of run new"),
        ("r", "-c", "trian"): (3, "the store has no log of container trian\n  did you mean train?"),
        ("r", "--pod", "r-c"): (3, "the store has no log of run r, pod r-c"),
        ("r", "--pod", "r-a", "-p"): (3, "container train has no previous start"),
        ("r", "-f", "-p"): (2, "--follow and --previous exclude each other"),
    }
    for argv, (code, message) in cases.items():
        answer = assay("logs", *argv)
        assert (answer.code, message in answer.err, answer.out) == (code, True, ""), (argv, answer)
