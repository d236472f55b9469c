"""Waits for an alias until the requested version is live and served, and reports the progress."""

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
#: A running operator reacts within a second or two.
_SILENCE_SECONDS = 10.0
#: The followers of an alias that was just bound, or the reason of a refusal, appear a moment later.
_SETTLED_SECONDS = 2.0
_ENDED: tuple[State, ...] = ("done", "failed")


@dataclass(frozen=True)
class Progress:
    """The progress as a state and a message. ``unsure``: a later read may give a different result."""

    state: State
    message: str
    unsure: bool = False

    @property
    def code(self) -> int:
        """The exit code of a command that ends here."""
        return {"done": OK, "held": NO}.get(self.state, FAILED)


def promotion(body: Raw, version: int) -> Progress:
    """Return the progress of an alias towards the version in its spec."""
    spec, status = body["spec"], _status(body)
    generation = body["metadata"]["generation"]
    if spec["version"] != version:
        return Progress("failed", f"the alias was pointed to v{spec['version']} in the meantime")
    if status.observed_generation != generation:
        return Progress("unseen", "waiting for the operator")
    if status.bound_version == version:
        return _served(status)
    if status.set_aside is not None and binding.is_set_aside(status, version, generation):
        return Progress("failed", status.set_aside.message)
    missing = binding.unmet(status.requirements)
    return Progress("held", f"v{version} is blocked: {missing or 'not evaluated yet'}")


def rollback(body: Raw, version: int) -> Progress:
    """Return the progress of a rollback to the version that an annotation requested."""
    status = _status(body)
    if (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROLLBACK) is not None:
        return Progress("unseen", "waiting for the operator")
    if status.bound_version == version:
        return _served(status)
    live = f"v{status.bound_version} is live" if status.bound_version else "nothing is bound"
    return Progress("failed", f"the operator did not roll back to v{version}; {live}", unsure=True)


def _status(body: Raw) -> ModelAliasStatus:
    return ModelAliasStatus.model_validate(body.get("status") or {})


def _served(status: ModelAliasStatus) -> Progress:
    """Return the progress of the workloads that follow the alias towards the live version."""
    live = f"v{status.bound_version} is live"
    failing = [each for each in status.serving if each.failed]
    waiting = [each for each in status.serving if not each.ready and not each.failed]
    if not status.serving:
        return Progress("done", f"{live}; no workload follows the alias", unsure=True)
    details = "; ".join(f"{each.kind} {each.name}: {each.message or 'not ready'}" for each in failing or waiting)
    if failing:
        return Progress("failed", f"{live} but cannot be served: {details}")
    if waiting:
        ready = len(status.serving) - len(waiting)
        return Progress("rolling", f"{live}, {ready} of {len(status.serving)} workloads ready; {details}")
    return Progress("done", f"{live}, served by {', '.join(f'{each.kind} {each.name}' for each in status.serving)}")


def follow(session: Session, name: str, look: Callable[[Raw], Progress], timeout: timedelta | None) -> Progress:
    """Wait until the move has ended or the timeout (None: no limit) expires, and report each change.

    Raises CliError if the alias is deleted in the meantime.
    """
    began, since, seen, warned = time.monotonic(), 0.0, Progress("unseen", ""), False
    while True:
        body = session.kube.find(MODEL_ALIASES, session.namespace, name)
        if body is None:
            raise CliError(f"{name} was deleted while waiting", code=NOT_FOUND)
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
            printing.note("no reaction from the operator: is it running? It will process the request when it starts")
            warned = True
        time.sleep(_EVERY_SECONDS)


def refusals(session: Session, name: str) -> dict[str, str]:
    """Return the messages of refused rollbacks of an alias, by the resource version of the event.

    Empty if the user may not read events: the outcome is known without them.
    """
    fields = f"involvedObject.name={name},reason=RollbackRefused"
    try:
        found = list(session.kube.list(EVENTS, session.namespace, fields=fields))
    except ApiError as error:
        if error.status != 403:
            raise
        return {}
    return {each["metadata"]["resourceVersion"]: str(each.get("message") or "") for each in found}
