"""What runs have come to and what goes on: side by side, as curves, again, live."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import NO
from assay.cli.options import command
from assay.cli.output.printing import Document, Format
from assay.cli.session import Session


class CurveFormat(StrEnum):
    """How curves are printed: drawn, or as the points that they are made of."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "compare")(_compare)
    command(app, "curves")(_curves)
    command(app, "diff")(_diff)
    command(app, "rerun")(_rerun)
    command(app, "logs")(_logs)
    command(app, "watch")(_watch)
    command(app, "top")(_top)


def _compare(
    session: Session,
    runs: Annotated[list[str], typer.Argument(help="The runs, also archived ones.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; can be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show runs side by side: what differs of their parameters, metrics and the rest."""
    from assay.cli.runs import compare

    compare.show(session, runs, metric or [], everything, output)


def _curves(
    session: Session,
    runs: Annotated[list[str], typer.Argument(help="The runs, also archived ones and ones that go on.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="The metric; can be repeated. The objective if left out.")
    ] = None,
    x: Annotated[str, typer.Option("--x", help="What to draw it over: step, time, or another metric.")] = "step",
    smooth: Annotated[float, typer.Option("--smooth", help="Smooth as TensorBoard does, 0 to 0.999.")] = 0.0,
    log_x: Annotated[bool, typer.Option("--log-x", help="A logarithmic x axis.")] = False,
    log_y: Annotated[bool, typer.Option("--log-y", help="A logarithmic y axis.")] = False,
    pod: Annotated[str, typer.Option("--pod", help="Another pod of the run than the one that counts.")] = "",
    save: Annotated[Path | None, typer.Option("--save", help="Draw into this file: .png, .svg, .pdf or .html.")] = None,
    output: Annotated[CurveFormat, typer.Option("--output", "-o", help="The curve, or its points.")] = CurveFormat.TEXT,
) -> None:
    """Draw the curves of metrics."""
    from assay.cli.runs import curves

    curves.show(session, curves.Wanted(runs, metric or [], x, pod, smooth, log_x, log_y), save, output)


def _diff(
    session: Session,
    a: Annotated[str, typer.Argument(help="A run, also an archived one.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only this kind, such as code or data; can be repeated.")
    ] = None,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Show every field in which two runs differ. Exit code 0: in none; 6: in some."""
    from assay.cli.runs import diff

    if not diff.show(session, a, b, kind or [], output):
        raise typer.Exit(NO)


def _rerun(
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
    from assay.cli.runs import rerun

    tolerances = rerun.tolerances(tolerance_of or [])
    wanted = rerun.Wanted(name, tolerance, tolerances, dry_run, wait, timeout)
    raise typer.Exit(rerun.show(session, run, wanted, output))


def _logs(
    session: Session,
    run: Annotated[str, typer.Argument(help="The run, also an archived one.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends, through restarts.")] = False,
    container: Annotated[str, typer.Option("--container", "-c", help="The container; the one that trains.")] = "",
    pod: Annotated[str, typer.Option("--pod", help="The pod; the newest one.")] = "",
    previous: Annotated[bool, typer.Option("--previous", "-p", help="The start of the container before.")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="With the time of each line.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many lines from the end.")] = None,
) -> None:
    """Print what a run has printed: from its pod while there is one, else from the store."""
    from assay.cli.runs import logs

    logs.show(session, run, logs.Wanted(container, pod, previous, follow, timestamps, tail))


def _watch(
    session: Session,
    experiment: Annotated[str, typer.Argument(help="The experiment.")],
) -> None:
    """Watch an experiment until it ends. Exit code 0: it has succeeded; 1: it has failed."""
    from assay.cli.runs import watch

    raise typer.Exit(watch.show(session, experiment))


def _top(
    session: Session,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="Only the runs of this experiment.")] = "",
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """List the runs that go on: where, how far, and what they use."""
    from assay.cli.runs import top

    top.show(session, experiment, everywhere, output)
