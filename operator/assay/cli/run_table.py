"""Runs as a table."""

from __future__ import annotations

from assay.api import names
from assay.api.resources import RUNS
from assay.cli import printing
from assay.cli.printing import Column, Format
from assay.cli.session import Session

_COLUMNS = (Column("RUN"), Column("PHASE", styles=printing.PHASE), Column("OWNER"))


def show(session: Session, experiment: str, output: Format) -> None:
    """Print the runs of a namespace, or of one experiment."""
    labels = f"{names.LABEL_EXPERIMENT}={experiment}" if experiment else ""
    found = session.kube.list(RUNS, session.namespace, labels=labels)
    rows = [
        (each["metadata"]["name"], (each.get("status") or {}).get("phase"), each["spec"].get("owner")) for each in found
    ]
    printing.table(_COLUMNS, rows, output)
