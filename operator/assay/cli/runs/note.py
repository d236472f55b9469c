"""`assay note`: a text about a run, which `assay show` and `assay runs --columns note` show."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api import names
from assay.api.resources import RUNS
from assay.cli import completion
from assay.cli.options import DryRun
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries import references


def note(session: Session, name: str, text: str, *, dry_run: bool) -> None:
    """Replace the note about a run; "" removes it. Raises AssayError."""
    references.run(session, name)
    patch = {"metadata": {"annotations": {names.ANNOTATION_NOTE: text or None}}}
    session.kube.patch(RUNS, session.namespace, name, patch, dry_run=dry_run)
    printing.write(printing.clean(f"{name}: {text or 'no note'}"))


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run.", autocompletion=completion.runs)],
    text: Annotated[str, typer.Argument(help='The note; "" removes it.')],
    dry_run: DryRun = False,
) -> None:
    """Write a note about a run."""
    note(session, run, text, dry_run=dry_run)
