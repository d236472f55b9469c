"""`assay rerun`: creates a Run from the recipe of one that has ended, and reports whether it reproduced the result."""

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
class Request:
    """How to repeat a run. ``seconds`` is the maximum time to wait for its end; 0 for no limit."""

    name: str = ""
    tolerance: float | None = None
    tolerances: Mapping[str, float] | None = None
    dry_run: bool = False
    wait: bool = False
    seconds: float = 0.0


class Rerun(TypedDict):
    """`assay rerun -o json`. ``reproduced`` is the status of that condition, "" if it is not set."""

    name: str
    namespace: str
    uid: str
    rerunOf: str
    dryRun: bool
    phase: str
    reproduced: str
    reason: str
    message: str


def show(session: Session, name: str, request: Request, output: Document) -> int:
    """Create the new Run, on request wait for its end, and return the exit code. Raises AssayError."""
    original = recorded.find(session, name)
    created = _create(session, original, request)
    if output is Document.TEXT:
        printing.write(created["metadata"]["name"])
        sys.stdout.flush()
    if request.dry_run:
        printing.note("dry run: nothing was created")
    ended = _ended(session, created, request) if request.wait and not request.dry_run else created
    found = result(ended, original, dry_run=request.dry_run)
    if output is not Document.TEXT:
        printing.document(found, output.value)
    elif ended is not created:
        printing.write(_sentence(found))
    return code(found) if ended is not created else OK


def _create(session: Session, original: Raw, request: Request) -> Raw:
    try:
        body = recipe.rerun_body(
            original,
            request.name or None,
            owner=session.kube.whoami(),
            tolerance=request.tolerance,
            tolerances=request.tolerances,
        )
    except ValueError as error:
        raise CliError(str(error), hint=f"`assay logs {original['metadata']['name']} -f` shows its progress") from None
    status, _, message = recipe.condition_of(original)
    if status != "True":
        printing.note(f"{original['metadata']['name']}: {message}; the result may differ")
    return session.kube.create(RUNS, session.namespace, body, dry_run=request.dry_run)


def _ended(session: Session, created: Raw, request: Request) -> Raw:
    """Wait for the end of a Run, report its progress, and return it. Raises CliError."""
    name = created["metadata"]["name"]
    deadline = time.monotonic() + request.seconds if request.seconds else None
    known: State = {}
    reported = ""
    stream = changes(session.kube, Watch(RUNS, session.namespace, fields=f"metadata.name={name}"))
    while deadline is None or time.monotonic() < deadline:
        change = next(stream)
        if change is None:
            continue
        apply(known, change)
        run = known.get((session.namespace, name))
        if run is None:
            raise CliError(f"run {name} was deleted", code=NOT_FOUND)
        status = run.get("status") or {}
        now = f"{name} {_progress(status)}"
        if now != reported:
            reported = now
            printing.note(now)
        if status.get("phase") in TERMINAL:
            return run
    hint = "it is still running; `kubectl get run` and `assay logs` show its progress"
    raise CliError(f"run {name} did not end within {request.seconds:g} s", hint=hint)


def _progress(status: Raw) -> str:
    """Return the phase of a run, and why it is in this phase."""
    return ": ".join(filter(None, [status.get("phase") or "Pending", status.get("message") or status.get("reason")]))


# Result


def result(run: Raw, original: Raw, *, dry_run: bool = False) -> Rerun:
    """Return the answer about a Run that repeats another one."""
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
    """Return the exit code for a Run that has ended: failed, not reproduced, or neither."""
    if found["phase"] != "Succeeded":
        return FAILED
    return NO if found["reproduced"] == "False" else OK


def _sentence(found: Rerun) -> str:
    words = {"True": "reproduced", "False": "not reproduced", "Unknown": "unknown whether reproduced"}
    parts = [found["phase"], words.get(found["reproduced"], "")]
    text = f"{', '.join(filter(None, parts))} ({found['reason']}): {found['message']}"
    return printing.clean(text)


def tolerances(texts: list[str]) -> dict[str, float]:
    """Return tolerances by metric from options such as ``train_seconds=2``. Raises CliError."""
    found = {}
    for text in texts:
        metric, _, value = text.rpartition("=")
        try:
            found[metric] = float(value)
        except ValueError:
            metric = ""
        if not metric:
            hint = "write METRIC=VALUE, for example --tolerance-of train_seconds=2"
            raise CliError(f"invalid --tolerance-of {text!r}", hint=hint, code=USAGE)
    return found


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run to repeat, which may be archived. It must have ended.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new Run. Default: generated.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it ends, and report whether it reproduced the result.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Maximum seconds to wait; 0 for no limit.")] = 0.0,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Allowed difference of metrics, relative to the larger value.")
    ] = None,
    tolerance_of: Annotated[
        list[str] | None,
        typer.Option("--tolerance-of", help="Allowed difference of one metric: METRIC=VALUE; can be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server check the request, but create nothing.")
    ] = False,
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Repeat a run from its recipe. With --wait, exit code 0: reproduced; 1: failed; 6: not reproduced."""
    request = Request(name, tolerance, tolerances(tolerance_of or []), dry_run, wait, timeout)
    raise typer.Exit(show(session, run, request, output))
