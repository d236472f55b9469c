"""`assay revoke`: removes approvals."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typing_extensions import TypedDict

from assay.api import names
from assay.api.resources import MODEL_VERSIONS
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.models.approve import version_of
from assay.cli.options import DryRun, ForAlias, Text, VersionName
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries import models
from assay.queries.models import Approval
from assay.queries.promotion import rights


class Revoked(TypedDict):
    """The approvals that were revoked, or would be. ``live``: the version stays live under the alias nevertheless."""

    version: str
    alias: str
    outcome: Literal["revoked", "dryRun"]
    approvals: list[Approval]
    live: bool


def revoke(session: Session, text: str, alias: str, *, identity: str, dry_run: bool, output: Document) -> None:
    """Revoke the user's own approvals for an alias, or the one with an id. Raises AssayError."""
    body = version_of(session, text)
    name, model = body["metadata"]["name"], body["spec"]["model"]
    user = session.kube.whoami()
    there = models.approvals(body, alias)
    chosen = [each for each in there if (each["id"] == identity if identity else each["approver"] == user)]
    if not chosen:
        raise CliError(_none(name, alias, identity, user), hint=_existing(there), code=NOT_FOUND)
    if any(each["approver"] != user for each in chosen):
        rights.require(session, "revoke", model, alias)
    for each in chosen:
        patch = {"metadata": {"annotations": {f"{alias}{names.APPROVAL_SUFFIX}{each['id']}": None}}}
        session.kube.patch(MODEL_VERSIONS, session.namespace, name, patch, dry_run=dry_run)
    live = alias in ((body.get("status") or {}).get("aliases") or [])
    answer: Revoked = {
        "version": name,
        "alias": alias,
        "outcome": "dryRun" if dry_run else "revoked",
        "approvals": chosen,
        "live": live,
    }
    if output is not Document.TEXT:
        printing.document(answer, output.value)
        return
    done = "would be revoked" if dry_run else "revoked"
    for each in chosen:
        printing.write(printing.clean(f"{name}: approval of {each['approver']} for {alias} {done} (id {each['id']})"))
    if live:
        printing.note(
            f"{name} stays live under {alias}: revoking an approval does not unbind a version. To roll back: "
            f"assay rollback {model} {alias}"
        )


def _none(name: str, alias: str, identity: str, user: str) -> str:
    if identity:
        return f"{name} has no approval for {alias} with id {identity}"
    return f"{name} has no approval for {alias} by {user}"


def _existing(there: list[Approval]) -> str:
    if not there:
        return "there are no approvals for this alias"
    given = ", ".join(f"{each['approver']} (--id {each['id']})" for each in there)
    return f"existing approvals: {given}; revoking those of others requires the verb revoke"


def command(
    session: Session,
    version: VersionName,
    alias: ForAlias,
    identity: Annotated[str, typer.Option("--id", help="Id of the approval. Default: your own.")] = "",
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Revoke an approval."""
    revoke(session, version, alias, identity=identity, dry_run=dry_run, output=output)
