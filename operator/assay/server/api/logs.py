"""The log of a run: its last lines, and those that came since."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import TypedDict

from assay.queries.logs import following
from assay.queries.runs import recorded
from assay.server.api.operations import Call, Operation, Query


class LogQuery(Query):
    """From where."""

    after: str = Field("", max_length=600, description="The position of the last answer. Default: the last lines.")


class LogLines(TypedDict):
    """Lines of a log, at most 300 and 200,000 bytes. Ask again with ``position`` until ``ended``.

    ``skipped``: lines between the last answer and this one were left out.
    """

    source: str
    lines: list[str]
    position: str
    skipped: bool
    ended: bool


def log(call: Call, query: LogQuery) -> LogLines:
    """Return lines of the training container's log."""
    found = following.tail(call.person, recorded.find(call.person, call.path["run"]), query.after)
    return {
        "source": found.source,
        "lines": found.lines,
        "position": found.position,
        "skipped": found.skipped,
        "ended": found.ended,
    }


OPERATIONS = (
    Operation(
        "log", "/namespaces/{namespace}/runs/{run}/log", "Read a run's log, from a position.", log, LogLines, LogQuery
    ),
)  # fmt: skip
