"""`assay stop`: ends a run before its time. What it recorded until then is kept.

The command deletes the Job of the run, so it needs the right to delete Jobs. The operator then closes the record, and
the run ends as Failed with the reason JobDeleted.
"""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api.resources import JOBS
from assay.api.run_status import TERMINAL
from assay.cli import completion
from assay.cli.errors import CliError
from assay.cli.options import DryRun
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries import references


def stop(session: Session, name: str, *, dry_run: bool) -> None:
    """Delete the Job of a run. Raises AssayError."""
    run = references.run(session, name)
    status = run.get("status") or {}
    if status.get("phase") in TERMINAL:
        raise CliError(f"run {name} has ended: {status['phase']}", hint=f"`assay show {name}` says why")
    uid = status.get("jobUid")
    if not uid:
        raise CliError(f"run {name} has no Job yet", hint=f"try again, or delete the run: kubectl delete run {name}")
    session.kube.delete(JOBS, session.namespace, name, uid=uid, dry_run=dry_run)
    printing.write(f"{name}: {'would be stopped' if dry_run else 'stopping'}")


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run.", autocompletion=completion.runs)],
    dry_run: DryRun = False,
) -> None:
    """Stop a run and keep what it recorded. It ends as Failed with the reason JobDeleted."""
    stop(session, run, dry_run=dry_run)
