"""`assay resume`: a suspended experiment continues."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli import completion
from assay.cli.options import DryRun
from assay.cli.runs.suspend import set_suspended
from assay.cli.session import Session


def command(
    session: Session,
    experiment: Annotated[str, typer.Argument(help="Experiment.", autocompletion=completion.experiments)],
    dry_run: DryRun = False,
) -> None:
    """Resume a suspended experiment."""
    set_suspended(session, experiment, suspend=False, dry_run=dry_run)
