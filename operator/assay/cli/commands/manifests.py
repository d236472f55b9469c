"""Manifests before they are applied: written for a training script, and checked. Neither needs a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.printing import Document


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("validate")(_validate)


def _validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Manifests; - is the standard input.")],
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Check manifests offline, as the API server and the operator would. Exit code 6: something is wrong."""
    from assay.cli import validating

    validating.validate(files, output)
