"""`assay show`: one run with its cause of failure, conditions, warnings and the end of its log."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from assay.api.errors import AssayError
from assay.cli import completion
from assay.cli.options import Text
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Document
from assay.cli.runs import logs
from assay.cli.session import Session
from assay.planning.conditions import format_seconds
from assay.queries.runs import explaining
from assay.queries.runs.explaining import RunDetails
from assay.queries.runs.rows import RunRow
from assay.store.errors import StoreError

_METRICS = 20


def show(session: Session, name: str, lines: int, output: Document, server: str = "") -> None:
    """Print a run. Raises AssayError."""
    found = explaining.details(session, name, server)
    if output is not Document.TEXT:
        printing.document(found, output.value)
        return
    _print(found)
    if lines:
        _log(session, name, lines)


def _print(found: RunDetails) -> None:
    run = found["run"]
    reason = f" ({run['reason']})" if run["reason"] else ""
    printing.write(f"{run['name']}  {sheets.line(run['phase'] + reason)}")
    if found["cause"]:
        printing.write(f"  cause: {sheets.line(found['cause'])}")
    objective = run["objective"] or {}
    sheets.facts(
        [
            ("experiment", run["experiment"]),
            ("message", "" if found["message"] == found["cause"] else found["message"]),
            ("note", found["note"]),
            ("archived", "only the store has this run" if run["archived"] else ""),
            ("owner", run["owner"]),
            ("created", run["created"]),
            ("duration", "" if run["duration"] is None else format_seconds(run["duration"])),
            ("parameters", _pairs(run["parameters"])),
            ("objective", f"{objective['direction']} {objective['metric']}" if objective else ""),
            ("code", " ".join(str(run["source"].get(key) or "") for key in ("repository", "revision")).strip()),
            ("data", ", ".join(run["datasets"])),
            ("model", run["model"].get("digest")),
            ("record", found["record"]),
            ("metrics", found["otherPods"]),
            ("console", found["link"] or f"`assay ui -n {found['namespace']}` shows the run in a browser"),
        ]
    )
    _metrics(run)
    above = {found["cause"], found["message"]} - {""}
    rows = [
        [each["type"], each["status"], each["reason"], "as above" if each["message"] in above else each["message"]]
        for each in found["conditions"]
    ]
    sheets.section([Column("CONDITION"), Column("STATUS"), Column("REASON"), Column("MESSAGE")], rows)
    pods = [[each["pod"], each["phase"], each["node"], each["reason"]] for each in found["attempts"]]
    sheets.section([Column("POD"), Column("PHASE"), Column("NODE"), Column("REASON")], pods)
    warnings = [[each["object"], each["reason"], str(each["count"]), each["message"]] for each in found["events"]]
    sheets.section([Column("WARNING"), Column("REASON"), Column("COUNT", number=True), Column("MESSAGE")], warnings)


def _metrics(run: RunRow) -> None:
    """Print the first metrics, beginning with the objective; a note says how many are left out."""
    first = (run["objective"] or {}).get("metric")
    found = sorted(run["metrics"].items(), key=lambda each: each[0] != first)
    number = [Column(title, number=True) for title in ("LAST", "BEST", "STEP")]
    rows = [[name, *(summary.get(key) for key in ("last", "best", "step"))] for name, summary in found]
    sheets.section([Column("METRIC"), *number], rows[:_METRICS])
    if len(rows) > _METRICS:
        printing.note(f"{len(rows) - _METRICS} more metrics: -o json shows them")


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={each if isinstance(each, str) else json.dumps(each)}" for name, each in values.items())


def _log(session: Session, name: str, lines: int) -> None:
    """Print the end of the log. Without a log, or without keys for the store, a note says why."""
    printing.write("")
    try:
        logs.show(session, name, logs.Request(tail=lines))
    except (AssayError, StoreError) as error:
        printing.note(f"no log: {error}")


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run, which may be archived.", autocompletion=completion.runs)],
    lines: Annotated[int, typer.Option("--lines", min=0, help="Lines from the end of the log; 0 for none.")] = 10,
    server: Annotated[
        str, typer.Option("--server", envvar="ASSAY_SERVER", help="Address of a server, for the link to its console.")
    ] = "",
    output: Text = Document.TEXT,
) -> None:
    """Show one run: why it failed or waits, its spec, conditions, warnings, and the end of its log."""
    show(session, run, lines, output, server)
