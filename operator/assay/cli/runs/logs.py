"""What a run has printed: from its pod while there is one, else from the store. Says which on the standard error."""

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
class Wanted:
    """Which log of a run, and how much of it. The training container of the newest pod if nothing is named."""

    container: str = ""
    pod: str = ""
    previous: bool = False
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None


def show(session: Session, name: str, wanted: Wanted) -> None:
    """Print a log. Raises CliError, StoreError."""
    if wanted.follow and wanted.previous:
        raise CliError("--follow and --previous exclude each other", hint="what has ended does not grow", code=USAGE)
    run = recorded.find(session, name)
    pods = _pods(session, run)
    ongoing = (run.get("status") or {}).get("completionTime") is None
    if wanted.follow and (pods or ongoing):
        Follower(session.kube, run, Printer(wanted.timestamps), wanted.pod, wanted.container).follow(wanted.tail)
        return
    if not pods or not _live(session, pods, wanted):
        _stored(session, run, wanted)


# From the pod


def _pods(session: Session, run: Raw) -> list[Raw]:
    """Return the pods of a run that are in the cluster, the newest last."""
    uid = run["metadata"]["uid"]
    try:
        found = list(session.kube.list(PODS, session.namespace, labels=f"{names.LABEL_RUN_UID}={uid}"))
    except ApiError as error:
        if error.status != 403:
            raise
        printing.note(f"{error.message}; so only the store is asked")
        return []
    return sorted(found, key=created)


def _live(session: Session, pods: Sequence[Raw], wanted: Wanted) -> bool:
    """Print the log of a pod; False when its node cannot give it."""
    chosen = [pod for pod in pods if wanted.pod in ("", pod["metadata"]["name"])]
    if not chosen:
        return False
    pod = chosen[-1]
    name, container = pod["metadata"]["name"], container_of(pod, wanted.container)
    printing.note(f"from the pod {name}, container {container}{_others(pods, wanted)}")
    printer = Printer(wanted.timestamps)
    try:
        Reading(session.kube, pod, container, printer).read(follow=False, previous=wanted.previous, tail=wanted.tail)
    except ApiError as error:
        printing.note(f"the node does not give it: {error.message}")
        return False
    printer.close()
    return True


def _others(pods: Sequence[Raw], wanted: Wanted) -> str:
    return "" if wanted.pod or len(pods) == 1 else f", the newest of {len(pods)} pods; --pod names another one"


# From the store


def _stored(session: Session, run: Raw, wanted: Wanted) -> None:
    name = run["metadata"]["name"]
    found = logs.list_logs(session.store, layout.prefix_of(run), wanted.pod)
    pods = sorted({log.name.pod for log in found})
    if not found:
        message = f"nothing is kept of the logs of the run {name}" + (f", pod {wanted.pod}" if wanted.pod else "")
        hint = "it has not begun" if not wanted.pod else ""
        raise CliError(message, hint=hint, code=NOT_FOUND)
    pod = wanted.pod or _newest(run, pods)
    log = _chosen(run, [log for log in found if log.name.pod == pod], wanted)
    again = f", started for the {log.name.attempt + 1}. time" if log.name.attempt else ""
    more = "" if wanted.pod or len(pods) == 1 else f"; --pod names another one: {', '.join(pods)}"
    printing.note(f"from the store: pod {pod}, container {log.name.container}{again}{more}")
    lines = logs.read_log(session.store, layout.prefix_of(run), log.name)
    Printer(wanted.timestamps).kept(lines, wanted.tail)
    for gap in log.gaps:
        printing.note(f"missing{f' after {gap.after}' if gap.after else ''}: {gap.reason}")


def _newest(run: Raw, pods: Sequence[str]) -> str:
    """Return the newest pod of a run of which there are logs, as far as its status knows."""
    attempts = [each["pod"] for each in (run.get("status") or {}).get("attempts") or []]
    known = [recorded.pod_of(run), *attempts]
    return next((pod for pod in reversed(known) if pod in pods), pods[-1])


def _chosen(run: Raw, found: Sequence[Log], wanted: Wanted) -> Log:
    """Return the log of the container's last start, or of the one before it. ``found`` are all of one pod."""
    known = sorted({log.name.container for log in found})
    declared = str(containers_of(run["spec"])[0].get("name"))
    container = wanted.container or (declared if declared in known else known[0])
    mine = sorted((log for log in found if log.name.container == container), key=lambda log: log.name.attempt)
    if not mine:
        hint = near(container, known) or f"there are {', '.join(known)}"
        raise CliError(f"nothing is kept of a container {container}", hint=hint, code=NOT_FOUND)
    if wanted.previous and len(mine) < 2:
        raise CliError(f"the container {container} was started only once", code=NOT_FOUND)
    return mine[-2 if wanted.previous else -1]


def command(
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
    show(session, run, Wanted(container, pod, previous, follow, timestamps, tail))
