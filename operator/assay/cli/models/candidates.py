"""Prints a candidate: a version compared with the live one, and the requirements of its policies."""

from __future__ import annotations

from typing import Any

from assay.cli.output import printing, requirements, sheets
from assay.cli.output.printing import Column
from assay.queries.promotion.candidates import Candidate, Metric

_MET = {"True": "green", "False": "red"}
_JUDGED = {"better": "green", "worse": "red"}


def show(found: Candidate) -> None:
    """Print a candidate as text."""
    version, live = found["version"], found["live"]
    printing.write(f"{version['name']} for {found['alias']}")
    given = [f"{each['approver']} for {each['alias']}" for each in version["approvals"] if each["valid"]]
    experiment = f" of {version['experiment']}" if version["experiment"] else ""
    sheets.facts(
        [
            ("digest", version["digest"]),
            ("size", sheets.size(version["bytes"])),
            ("owner", version["owner"]),
            ("run", f"{version['run']}{experiment}" if version["run"] else ""),
            ("phase", version["phase"]),
            ("approved by", ", ".join(given)),
            ("live now", f"{live['name']} {live['digest']}" if live else f"nothing under {found['alias']}"),
        ]
    )
    _tables(found, f"V{version['version']}", f"V{live['version']}" if live else "LIVE")


def _tables(found: Candidate, ours: str, theirs: str) -> None:
    """Print the tables; without a live version, its columns are omitted."""
    compared = found["live"] is not None
    _beside(
        (
            Column("METRIC"),
            Column(ours, number=True),
            Column(theirs, number=True),
            Column("CHANGE", number=True),
            Column("", styles=_JUDGED),
        ),
        [
            (f"{each['name']} {each['value']}", each["candidate"], each["live"], _signed(each["change"]), _judged(each))
            for each in found["metrics"]
        ],
        compared=compared,
    )
    _beside(
        (Column("PARAMETER"), Column(ours), Column(theirs)),
        [(each["name"], _value(each["candidate"]), _value(each["live"])) for each in found["parameters"]],
        compared=compared,
    )
    sheets.section(
        (Column("EVIDENCE"), Column("STATUS", styles=_MET), Column("MESSAGE")),
        [(each["condition"], each["status"], each["message"]) for each in found["evidence"]],
    )
    requirements.show(found["requirements"], found["warnings"])


def _beside(columns: tuple[Column, ...], rows: list[tuple[object, ...]], *, compared: bool) -> None:
    end = len(columns) if compared else 2
    sheets.section(columns[:end], [row[:end] for row in rows])


def _signed(change: float | None) -> str | None:
    return None if change is None else f"{change:+.6g}"


def _judged(each: Metric) -> str:
    return {True: "better", False: "worse", None: " "}[each["better"]]


def _value(value: Any) -> object:
    return str(value).lower() if isinstance(value, bool) else value
