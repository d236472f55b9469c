"""Manifests before they are applied: written for a training script, and checked. Neither needs a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.cli.output.printing import Document


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(_init)
    app.command("validate")(_validate)


def _init(
    script: Annotated[Path | None, typer.Argument(help="The training script; found, if there is only one.")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the Experiment; that of the folder.")] = "",
    image: Annotated[str, typer.Option("--image", help="The image that the script is in.")] = "",
    metric: Annotated[str, typer.Option("--metric", help="The metric that decides.")] = "",
    direction: Annotated[
        Literal["maximize", "minimize"] | None, typer.Option("--direction", help="Whether more or less is better.")
    ] = None,
    target: Annotated[
        str, typer.Option("--output", "-o", help="The file; - is the standard output.")
    ] = "experiment.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write an Experiment for the training script in this folder."""
    from assay.cli.manifests import init

    init.write(init.Wish(script, name, image, metric, direction or ""), target, force=force)


def _validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Manifests; - is the standard input.")],
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Check manifests offline, as the API server and the operator would. Exit code 6: something is wrong."""
    from assay.cli.manifests import validate

    validate.validate(files, output)
