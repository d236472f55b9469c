"""`assay logs`: the log of a run, from its pod while it exists, otherwise from the store.

The source is named on the standard error stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import PODS
from assay.cli.errors import NOT_FOUND, USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.log_lines import Printer
from assay.cli.runs.log_following import Follower, Reading, container_of, created
from assay.cli.session import Session
from assay.kube.errors import ApiError
from assay.planning.runs.recipe import containers_of
from assay.queries.references import near
from assay.queries.runs import recorded
from assay.store import layout, logs
from assay.store.logs import Log


@dataclass(frozen=True)
class Request:
    """Which log of a run to print, and how much of it. Default: the training container of the newest pod."""

    container: str = ""
    pod: str = ""
    previous: bool = False
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None


def show(session: Session, name: str, request: Request) -> None:
    """Print a log. Raises CliError, StoreError."""
    if request.follow and request.previous:
        raise CliError("--follow and --previous exclude each other", hint="omit one of them", code=USAGE)
    run = recorded.find(session, name)
    pods = _pods(session, run)
    ongoing = (run.get("status") or {}).get("completionTime") is None
    if request.follow and (pods or ongoing):
        Follower(session.kube, run, Printer(request.timestamps), request.pod, request.container).follow(request.tail)
        return
    if not pods or not _live(session, pods, request):
        _stored(session, run, request)


# From the pod


def _pods(session: Session, run: Raw) -> list[Raw]:
    """Return the pods of a run that are in the cluster, newest last."""
    uid = run["metadata"]["uid"]
    try:
        found = list(session.kube.list(PODS, session.namespace, labels=f"{names.LABEL_RUN_UID}={uid}"))
    except ApiError as error:
        if error.status != 403:
            raise
        printing.note(f"{error.message}; reading only the store")
        return []
    return sorted(found, key=created)


def _live(session: Session, pods: Sequence[Raw], request: Request) -> bool:
    """Print the log of a pod; return False if its node cannot provide it."""
    chosen = [pod for pod in pods if request.pod in ("", pod["metadata"]["name"])]
    if not chosen:
        return False
    pod = chosen[-1]
    name, container = pod["metadata"]["name"], container_of(pod, request.container)
    printing.note(f"from pod {name}, container {container}{_others(pods, request)}")
    printer = Printer(request.timestamps)
    try:
        Reading(session.kube, pod, container, printer).read(follow=False, previous=request.previous, tail=request.tail)
    except ApiError as error:
        printing.note(f"cannot read the log from the node: {error.message}")
        return False
    printer.close()
    return True


def _others(pods: Sequence[Raw], request: Request) -> str:
    return "" if request.pod or len(pods) == 1 else f", the newest of {len(pods)} pods; --pod selects another"


# From the store


def _stored(session: Session, run: Raw, request: Request) -> None:
    name = run["metadata"]["name"]
    found = logs.list_logs(session.store, layout.prefix_of(run), request.pod)
    pods = sorted({log.name.pod for log in found})
    if not found:
        message = f"the store has no log of run {name}" + (f", pod {request.pod}" if request.pod else "")
        status = run.get("status") or {}
        why = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
        hint = f"{why or 'the run has not started yet'}; `assay show {name}` has more" if not request.pod else ""
        raise CliError(message, hint=hint, code=NOT_FOUND)
    pod = request.pod or _newest(run, pods)
    log = _chosen(run, [log for log in found if log.name.pod == pod], request)
    restart = f", restart {log.name.attempt}" if log.name.attempt else ""
    more = "" if request.pod or len(pods) == 1 else f"; --pod selects one of {', '.join(pods)}"
    printing.note(f"from the store: pod {pod}, container {log.name.container}{restart}{more}")
    lines = logs.read_log(session.store, layout.prefix_of(run), log.name)
    Printer(request.timestamps).stored(lines, request.tail)
    for gap in log.gaps:
        printing.note(f"lines are missing{f' after {gap.after}' if gap.after else ''}: {gap.reason}")


def _newest(run: Raw, pods: Sequence[str]) -> str:
    """Return the newest pod of a run that has logs, according to the run's status."""
    attempts = [each["pod"] for each in (run.get("status") or {}).get("attempts") or []]
    known = [recorded.pod_of(run), *attempts]
    return next((pod for pod in reversed(known) if pod in pods), pods[-1])


def _chosen(run: Raw, found: Sequence[Log], request: Request) -> Log:
    """Return the log of the container's last start, or of the one before it. ``found`` has the logs of one pod."""
    known = sorted({log.name.container for log in found})
    declared = str(containers_of(run["spec"])[0].get("name"))
    # If the training never started, an init container shows why; the recorder does not.
    others = [name for name in known if name not in (names.RECORDER_CONTAINER, names.STANDBY_CONTAINER)]
    container = request.container or next(iter(others if declared not in known else [declared]), declared)
    mine = sorted((log for log in found if log.name.container == container), key=lambda log: log.name.attempt)
    if not mine:
        hint = near(container, known) or f"containers: {', '.join(known)}"
        raise CliError(f"the store has no log of container {container}", hint=hint, code=NOT_FOUND)
    if request.previous and len(mine) < 2:
        raise CliError(f"container {container} has no previous start", code=NOT_FOUND)
    return mine[-2 if request.previous else -1]


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run, which may be archived.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the run ends, across restarts.")
    ] = False,
    container: Annotated[
        str, typer.Option("--container", "-c", help="Container. Default: the training container.")
    ] = "",
    pod: Annotated[str, typer.Option("--pod", help="Pod. Default: the newest.")] = "",
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Show the previous start of the container.")
    ] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Show the time of each line.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Show only the last N lines.")] = None,
) -> None:
    """Print the log of a run: from its pod while it exists, otherwise from the store."""
    show(session, run, Request(container, pod, previous, follow, timestamps, tail))
