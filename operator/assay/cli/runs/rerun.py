"""Doing a run again: a new Run made of the recipe of one that has ended, and whether it came to the same."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer
from typing_extensions import TypedDict

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.api.run_status import TERMINAL
from assay.cli.errors import FAILED, NO, NOT_FOUND, OK, USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.kube.watches import State, Watch, apply, changes
from assay.planning.runs import recipe
from assay.queries.runs import recorded


@dataclass(frozen=True)
class Wanted:
    """How a run is done again. ``seconds`` is how long to wait for its end at the most; 0 is as long as it takes."""

    name: str = ""
    tolerance: float | None = None
    tolerances: Mapping[str, float] | None = None
    dry_run: bool = False
    wait: bool = False
    seconds: float = 0.0


class Rerun(TypedDict):
    """`assay rerun -o json`. ``reproduced`` is the status of that condition, "" while there is none."""

    name: str
    namespace: str
    uid: str
    rerunOf: str
    dryRun: bool
    phase: str
    reproduced: str
    reason: str
    message: str


def show(session: Session, name: str, wanted: Wanted, output: Document) -> int:
    """Create the new Run, wait for its end if that is wanted, and return the exit code. Raises CliError."""
    original = recorded.find(session, name)
    created = _create(session, original, wanted)
    if output is Document.TEXT:
        printing.write(created["metadata"]["name"])
        sys.stdout.flush()
    if wanted.dry_run:
        printing.note("nothing was created: it was a dry run")
    ended = _ended(session, created, wanted) if wanted.wait and not wanted.dry_run else created
    found = told(ended, original, dry_run=wanted.dry_run)
    if output is not Document.TEXT:
        printing.document(found, output.value)
    elif ended is not created:
        printing.write(_sentence(found))
    return code(found) if ended is not created else OK


def _create(session: Session, original: Raw, wanted: Wanted) -> Raw:
    try:
        body = recipe.rerun_body(
            original,
            wanted.name or None,
            owner=session.kube.whoami(),
            tolerance=wanted.tolerance,
            tolerances=wanted.tolerances,
        )
    except ValueError as error:
        raise CliError(str(error), hint=f"`assay logs {original['metadata']['name']} -f` shows what it does") from None
    status, _, message = recipe.condition_of(original)
    if status != "True":
        printing.note(f"{original['metadata']['name']}: {message}; so it may come to something else")
    return session.kube.create(RUNS, session.namespace, body, dry_run=wanted.dry_run)


def _ended(session: Session, created: Raw, wanted: Wanted) -> Raw:
    """Wait for the end of a Run, say what becomes of it, and return it. Raises CliError."""
    name = created["metadata"]["name"]
    deadline = time.monotonic() + wanted.seconds if wanted.seconds else None
    known: State = {}
    said = ""
    last_report = changes(session.kube, Watch(RUNS, session.namespace, fields=f"metadata.name={name}"))
    while deadline is None or time.monotonic() < deadline:
        change = next(last_report)
        if change is None:
            continue
        apply(known, change)
        run = known.get((session.namespace, name))
        if run is None:
            raise CliError(f"the run {name} was deleted", code=NOT_FOUND)
        status = run.get("status") or {}
        now = f"{name} {_told(status)}"
        if now != said:
            said = now
            printing.note(now)
        if status.get("phase") in TERMINAL:
            return run
    hint = "it goes on; `assay logs` and `kubectl get run` show how it ends"
    raise CliError(f"the run {name} has not ended within {wanted.seconds:g} s", hint=hint)


def _told(status: Raw) -> str:
    """Return in which phase a run is, and why."""
    return ": ".join(filter(None, [status.get("phase") or "Pending", status.get("message") or status.get("reason")]))


# What has come of it


def told(run: Raw, original: Raw, *, dry_run: bool = False) -> Rerun:
    """Return what is said of a Run that does another one again."""
    metadata, status = run["metadata"], run.get("status") or {}
    found: Raw = {}
    for each in status.get("conditions") or []:
        if each["type"] == names.REPRODUCED:
            found = each
    return Rerun(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata.get("uid") or "",
        rerunOf=original["metadata"]["name"],
        dryRun=dry_run,
        phase=status.get("phase") or "Pending",
        reproduced=found.get("status") or "",
        reason=found.get("reason") or status.get("reason") or "",
        message=found.get("message") or status.get("message") or "",
    )


def code(found: Rerun) -> int:
    """Return the exit code for a Run that has ended: failed, come to something else, or not."""
    if found["phase"] != "Succeeded":
        return FAILED
    return NO if found["reproduced"] == "False" else OK


def _sentence(found: Rerun) -> str:
    said = {"True": "reproduced", "False": "not reproduced", "Unknown": "nobody knows whether reproduced"}
    parts = [found["phase"], said.get(found["reproduced"], "")]
    text = f"{', '.join(filter(None, parts))} ({found['reason']}): {found['message']}"
    return printing.clean(text)


def tolerances(texts: list[str]) -> dict[str, float]:
    """Return tolerances by metric from what was typed, such as ``train_seconds=2``. Raises CliError."""
    found = {}
    for text in texts:
        metric, _, value = text.rpartition("=")
        try:
            found[metric] = float(value)
        except ValueError:
            metric = ""
        if not metric:
            hint = "such as --tolerance-of train_seconds=2"
            raise CliError(f"{text!r} is no metric and tolerance", hint=hint, code=USAGE)
    return found


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="The run to do again, also an archived one. It has to have ended.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new Run; the API server makes one without.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end, and say whether it came to the same.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait at the most; 0: for ever.")] = 0.0,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="How far metrics may be off, relative to the larger value.")
    ] = None,
    tolerance_of: Annotated[
        list[str] | None, typer.Option("--tolerance-of", help="The same of one metric: METRIC=VALUE; can be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask the API server whether it would do it.")] = False,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Do a run again, from its recipe. With --wait exit code 0: the same; 1: it failed; 6: not the same."""
    wanted = Wanted(name, tolerance, tolerances(tolerance_of or []), dry_run, wait, timeout)
    raise typer.Exit(show(session, run, wanted, output))
