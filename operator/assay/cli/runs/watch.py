"""`assay watch`: the progress of an experiment, its running runs, the best result, and the estimated time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, RUNS
from assay.api.run_status import TERMINAL
from assay.cli.errors import FAILED, NOT_FOUND, OK, CliError
from assay.cli.output import printing, sheets
from assay.cli.session import Session
from assay.kube.watches import State, Watch, apply, changes
from assay.queries import references
from assay.queries.runs import experiments
from assay.queries.runs.experiments import View

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Different causes of failed runs that are shown at the end.
_CAUSES = 3


def show(session: Session, name: str) -> int:
    """Follow an experiment until it ends, and return 0 if it succeeded, else 1. Raises AssayError."""
    references.experiment(session, name)
    kube, namespace = session.kube, session.namespace
    watched = (
        Watch(EXPERIMENTS, namespace, fields=f"metadata.name={name}"),
        Watch(RUNS, namespace, labels=f"{names.LABEL_EXPERIMENT}={name}"),
    )
    known: dict[Any, State] = {EXPERIMENTS: {}, RUNS: {}}
    synced = set()
    with _screen() as screen:
        for change in changes(kube, *watched, note=session.note):
            if change is not None:
                apply(known[change.resource], change)
                synced.add(change.resource)
            if len(synced) < len(watched):
                continue
            experiment = known[EXPERIMENTS].get((namespace, name))
            if experiment is None:
                raise CliError(f"experiment {name} was deleted", code=NOT_FOUND)
            seen = experiments.view(experiment, known[RUNS], time.time())
            screen.show(seen)
            if seen.phase in TERMINAL and is_current(experiment):
                break
    printing.write(ended(seen))
    for text in causes(known[RUNS].values()):
        printing.write(text)
    return OK if seen.phase == "Succeeded" else FAILED


# Texts


def _best(seen: View) -> str:
    """Return a description of the best run."""
    best = seen.best
    parameters = ", ".join(f"{name} {value}" for name, value in (best.get("parameters") or {}).items())
    return f"{seen.metric} {printing.number(best['value'])} ({best['run']}{': ' if parameters else ''}{parameters})"


def line(seen: View) -> str:
    """Return the progress of an experiment as a line that changes with events, not with time."""
    parts = [f"{seen.finished}/{seen.total} runs finished"]
    parts += [
        f"{seen.counts[key]} {key}" + (_stuck(seen) if key == "pending" else "")
        for key in ("failed", "running", "pending", "suspended")
        if seen.counts.get(key)
    ]
    parts += [f"best {_best(seen)}"] if seen.best else []
    return printing.clean(", ".join(parts))


def _stuck(seen: View) -> str:
    """Return why pending runs cannot start, and where to read more; "" while they only wait for their turn."""
    stuck = [each for each in seen.active if each.phase == "Pending" and each.reason not in {"", *names.NORMAL_WAITS}]
    reasons = ", ".join(sorted({each.reason for each in stuck}))
    return f" ({reasons}: see `assay show {stuck[0].name}`)" if stuck else ""


def pace(seen: View) -> str:
    """Return the pace of an experiment and the time left; "" if they are unknown."""
    parts = [f"{printing.number(round(seen.rate, 2))} runs/min"] if seen.rate else []
    if seen.left is not None and seen.phase not in TERMINAL:
        parts.append(f"about {span(seen.left)} left")
    return ", ".join(parts)


def span(seconds: float) -> str:
    """Return a duration in its two largest units: 45s, 3m20s, 2h5m, 3d4h."""
    left = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"


def ended(seen: View) -> str:
    """Return the result of an experiment as one line."""
    return printing.clean(f"{seen.name}: {seen.phase}{f', {seen.message}' if seen.message else ''}")


def is_current(experiment: Raw) -> bool:
    """Whether the status is that of the current spec: after a change, the operator needs a moment."""
    observed = (experiment.get("status") or {}).get("observedGeneration")
    return observed is None or bool(observed >= experiment["metadata"].get("generation", 0))


def causes(runs: Iterable[Raw]) -> list[str]:
    """Return why runs failed, each cause once with its first run."""
    found: dict[str, str] = {}
    for run in sorted(runs, key=lambda each: str(each["metadata"]["name"])):
        status = run.get("status") or {}
        if status.get("phase") == "Failed":
            why = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
            found.setdefault(why, run["metadata"]["name"])
    shown = [f"  {name} failed: {sheets.line(why)}" for why, name in list(found.items())[:_CAUSES]]
    return [*shown, *([f"  `assay show {next(iter(found.values()))}` has more"] if found else [])]


# Screens


class _Lines:
    """Prints a line for each change, for output that is not a terminal."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, seen: View) -> None:
        """Print a line if the progress changed."""
        now = line(seen)
        if now != self._last:
            self._last = now
            speed = pace(seen)
            printing.write(f"{time.strftime('%H:%M:%S')}  {now}{f', {speed}' if speed else ''}")
            sys.stdout.flush()


class _Live:
    """A display on a terminal that is updated in place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=printing.console(), refresh_per_second=4)

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, seen: View) -> None:
        """Redraw the display."""
        self._live.update(drawn(seen, self._live.console.height))


def _screen() -> _Lines | _Live:
    return _Live() if sys.stdout.isatty() else _Lines()


def drawn(seen: View, height: int) -> RenderableType:
    """Return the display: a progress bar, the best run, and as many running runs as fit."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(1, seen.total), completed=seen.finished, width=30)
    failed = seen.counts.get("failed", 0)
    details = ", ".join(filter(None, [f"{failed} failed" if failed else "", pace(seen)]))
    progress = f"{seen.finished}/{seen.total}"
    head.add_row(Text(printing.clean(seen.name), style="bold"), Text(seen.phase), bar, Text(progress), Text(details))
    parts: list[RenderableType] = [head]
    parts += [Text(printing.clean(f"best {_best(seen)}"), style="green")] if seen.best else []
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    for title in ("RUN", "PHASE", "SINCE", "STEP", printing.clean(seen.metric.upper() or "REASON")):
        table.add_column(title, no_wrap=True)
    room = max(1, height - len(parts) - 4)
    for each in seen.active[:room]:
        last = printing.number(each.value) if each.value is not None else each.reason
        since, step = "" if each.seconds is None else span(each.seconds), "" if each.step is None else str(each.step)
        table.add_row(*(Text(printing.clean(text)) for text in (each.name, each.phase, since, step, last)))
    parts += [table] if seen.active else []
    more = len(seen.active) - room
    return Group(*parts, *([Text(f"and {more} more")] if more > 0 else []))


def command(
    session: Session,
    experiment: Annotated[str, typer.Argument(help="Experiment.")],
) -> None:
    """Watch an experiment until it ends. Exit code 0: it succeeded; 1: it failed."""
    raise typer.Exit(show(session, experiment))
