"""Waiting for an alias: from the wish until the version is live and served, and saying what it waits for meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from assay.api import names
from assay.api.modelalias import ModelAliasStatus
from assay.api.objects import Raw
from assay.api.resources import EVENTS, MODEL_ALIASES
from assay.cli.errors import FAILED, NO, NOT_FOUND, OK, CliError
from assay.cli.output import printing, sheets
from assay.cli.session import Session
from assay.kube.errors import ApiError
from assay.planning.promotion import binding

State = Literal["unseen", "held", "rolling", "done", "failed"]

_EVERY_SECONDS = 0.5
#: An operator that runs answers within a second or two.
_SILENCE_SECONDS = 10.0
#: What follows an alias that has just been bound, or why the operator did not, appears a moment later.
_SETTLED_SECONDS = 2.0
_ENDED: tuple[State, ...] = ("done", "failed")


@dataclass(frozen=True)
class Progress:
    """How far it is, in one word and in words. ``unsure``: more may be known of it a moment later."""

    state: State
    message: str
    unsure: bool = False

    @property
    def code(self) -> int:
        """The exit code of a command that ends here."""
        return {"done": OK, "held": NO}.get(self.state, FAILED)


def promotion(body: Raw, version: int) -> Progress:
    """Return how far an alias is on its way to a version that its spec was made to name."""
    spec, status = body["spec"], _status(body)
    generation = body["metadata"]["generation"]
    if spec["version"] != version:
        return Progress("failed", f"the alias was pointed to v{spec['version']} meanwhile")
    if status.observed_generation != generation:
        return Progress("unseen", "the operator has not looked at it yet")
    if status.bound_version == version:
        return _served(status)
    if status.set_aside is not None and binding.is_set_aside(status, version, generation):
        return Progress("failed", status.set_aside.message)
    missing = binding.unmet(status.requirements)
    return Progress("held", f"v{version} is held: {missing or 'it has not been judged yet'}")


def rollback(body: Raw, version: int) -> Progress:
    """Return how far an alias is on its way back to a version that its annotation asked for."""
    status = _status(body)
    if (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROLLBACK) is not None:
        return Progress("unseen", "the operator has not looked at it yet")
    if status.bound_version == version:
        return _served(status)
    live = f"v{status.bound_version} is live" if status.bound_version else "nothing is bound"
    return Progress("failed", f"the operator did not go back to v{version}, {live}", unsure=True)


def _status(body: Raw) -> ModelAliasStatus:
    return ModelAliasStatus.model_validate(body.get("status") or {})


def _served(status: ModelAliasStatus) -> Progress:
    """Return how far what follows the alias is with the version that is live."""
    live = f"v{status.bound_version} is live"
    failing = [each for each in status.serving if each.failed]
    waiting = [each for each in status.serving if not each.ready and not each.failed]
    if not status.serving:
        return Progress("done", f"{live}; nothing follows the alias", unsure=True)
    told = "; ".join(f"{each.kind} {each.name}: {each.message or 'not ready'}" for each in failing or waiting)
    if failing:
        return Progress("failed", f"{live}, and cannot be served: {told}")
    if waiting:
        ready = len(status.serving) - len(waiting)
        return Progress("rolling", f"{live}, {ready} of {len(status.serving)} workloads ready; {told}")
    return Progress("done", f"{live}, served by {', '.join(f'{each.kind} {each.name}' for each in status.serving)}")


def follow(session: Session, name: str, look: Callable[[Raw], Progress], timeout: timedelta | None) -> Progress:
    """Wait until there is an end, or the time is over; every change is noted. None: as long as it takes.

    Raises CliError when the alias is deleted meanwhile.
    """
    began, since, seen, warned = time.monotonic(), 0.0, Progress("unseen", ""), False
    while True:
        body = session.kube.find(MODEL_ALIASES, session.namespace, name)
        if body is None:
            raise CliError(f"{name} was deleted meanwhile", code=NOT_FOUND)
        now, waited = look(body), time.monotonic() - began
        if now != seen:
            since = waited
            if now.state not in _ENDED:
                printing.note(f"{name}: {sheets.line(now.message)}")
        seen = now
        if now.state in _ENDED and not (now.unsure and waited - since < _SETTLED_SECONDS):
            return now
        if timeout is not None and waited >= timeout.total_seconds():
            return now
        if now.state == "unseen" and waited > _SILENCE_SECONDS and not warned:
            printing.note(
                "the operator is silent: is it running? What was asked for stays, and it does it when it comes"
            )
            warned = True
        time.sleep(_EVERY_SECONDS)


def refusals(session: Session, name: str) -> dict[str, str]:
    """Return what events say of rollbacks of an alias that the operator did not do, by the event's version.

    Nothing where the user may not read events: what has happened is known without them.
    """
    fields = f"involvedObject.name={name},reason=RollbackRefused"
    try:
        found = list(session.kube.list(EVENTS, session.namespace, fields=fields))
    except ApiError as error:
        if error.status != 403:
            raise
        return {}
    return {each["metadata"]["resourceVersion"]: str(each.get("message") or "") for each in found}
