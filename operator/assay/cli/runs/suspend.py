"""`assay suspend`: launches no further run of an experiment, and stops its running ones until `assay resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api.resources import EXPERIMENTS
from assay.cli import completion
from assay.cli.options import DryRun
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries import references


def set_suspended(session: Session, name: str, *, suspend: bool, dry_run: bool) -> None:
    """Suspend or resume an experiment. Raises AssayError."""
    before = bool(references.experiment(session, name)["spec"].get("suspend"))
    session.kube.patch(EXPERIMENTS, session.namespace, name, {"spec": {"suspend": suspend}}, dry_run=dry_run)
    word = "suspended" if suspend else "resumed"
    already = "already " if before is suspend else "would be " if dry_run else ""
    printing.write(f"{name}: {already}{word}")


def command(
    session: Session,
    experiment: Annotated[str, typer.Argument(help="Experiment.", autocompletion=completion.experiments)],
    dry_run: DryRun = False,
) -> None:
    """Suspend an experiment: stop its runs, and launch no others, until it is resumed."""
    set_suspended(session, experiment, suspend=True, dry_run=dry_run)
