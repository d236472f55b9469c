"""`assay register`: a version of a model from a run that has ended, with the next free number."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api.errors import AssayError
from assay.api.resources import MODEL_VERSIONS
from assay.cli import completion
from assay.cli.errors import CliError
from assay.cli.options import DryRun, Model
from assay.cli.output import printing
from assay.cli.session import Session
from assay.kube.errors import ApiError
from assay.planning.models import registration
from assay.queries.runs import recorded
from assay.store import numbers
from assay.store.errors import StoreError

_TRIES = 20


def register(session: Session, run: str, model: str, number: int, *, dry_run: bool) -> None:
    """Create the version, and print its name. Raises AssayError."""
    found = recorded.find(session, run)
    owner = session.kube.whoami()
    chosen = number or max(_highest(session, model), _claimed(session, model)) + 1
    for attempt in range(1 if number else _TRIES):
        try:
            body = registration.version_body(found, model, chosen + attempt)
        except ValueError as error:
            hint = "spec.model.path of a run names the artifact that is the model"
            raise CliError(f"cannot register it: {error}", hint=hint) from None
        body["spec"]["owner"] = owner
        try:
            created = session.kube.create(MODEL_VERSIONS, session.namespace, body, dry_run=dry_run)
        except ApiError as error:
            if error.reason != "AlreadyExists" or number:
                raise
            continue
        name = created["metadata"]["name"]
        printing.write(name)
        printing.note(
            "dry run: nothing was created" if dry_run else f"`assay versions {model}` shows when {name} is verified"
        )
        return
    raise CliError(f"no free number for a version of {model} was found", hint="choose one with --version")


def _highest(session: Session, model: str) -> int:
    versions = session.kube.list(MODEL_VERSIONS, session.namespace)
    return max((each["spec"]["version"] for each in versions if each["spec"]["model"] == model), default=0)


def _claimed(session: Session, model: str) -> int:
    """Return the highest number that the operator ever gave to a version; deleted versions keep their numbers.

    It is in the store, which not everybody can read. Without it the operator refuses a number that is taken.
    """
    try:
        return numbers.last_number(session.store, session.namespace, model)
    except (AssayError, StoreError) as error:
        printing.note(f"numbers of deleted versions are unknown: {error}")
        return 0


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run that has ended; it may be archived.", autocompletion=completion.runs)],
    model: Model,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Number. Default: the next one.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Register the model of a run as a version."""
    register(session, run, model, version or 0, dry_run=dry_run)
