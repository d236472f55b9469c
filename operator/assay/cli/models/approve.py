"""`assay approve`: writes an approval as one annotation, in the user's own name and for the digest shown to them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import typer
from typing_extensions import TypedDict

from assay.api import names
from assay.api.objects import Raw, is_archived
from assay.api.resources import MODEL_VERSIONS
from assay.cli.errors import FAILED, USAGE, CliError
from assay.cli.models import candidates
from assay.cli.options import DryRun, ForAlias, Message, Text, VersionName
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.kube.errors import ApiError
from assay.queries import models, references
from assay.queries.promotion import candidates as queries_candidates
from assay.queries.promotion import cases, requests, rights
from assay.queries.promotion.candidates import Candidate
from assay.queries.promotion.cases import Case


class Approved(TypedDict):
    """The result of an approval. ``missing``: what the version needs after it; None if unknown."""

    version: str
    alias: str
    outcome: Literal["approved", "already", "dryRun"]
    digest: str
    approver: str
    annotation: dict[str, str]
    missing: str | None
    candidate: Candidate


@dataclass(frozen=True)
class Request:
    """The options of an approval: comment, id, whether to renew one, to skip the confirmation, or to write nothing."""

    comment: str = ""
    identity: str = ""
    again: bool = False
    yes: bool = False
    dry_run: bool = False


def approve(session: Session, text: str, alias: str, request: Request, output: Document) -> None:
    """Show the version, ask for confirmation, and write the approval. Raises AssayError."""
    if not (request.yes or request.dry_run or sys.stdin.isatty()):
        raise CliError(
            "cannot ask for confirmation without a terminal", hint="use --yes to approve, or --dry-run", code=USAGE
        )
    body = version_of(session, text)
    name, model = body["metadata"]["name"], body["spec"]["model"]
    if references.alias_name(f"{model}.{alias}") is None:
        hint = "use the alias without its model, for example --for champion"
        raise CliError(f"invalid alias name {alias!r}", hint=hint, code=USAGE)
    user = session.kube.whoami()
    rights.require(session, "approve", model, alias)
    shown, case = _described(session, body, alias)
    if output is Document.TEXT:
        candidates.show(shown)
    for warning in _warnings(body):
        printing.note(f"warning: {warning}")
    known = requests.own_approval(body, alias, user)
    if known and not request.again:
        printing.note(f"{user} already approved {name} for {alias} (id {known['id']}); nothing was written")
        key = f"{alias}{names.APPROVAL_SUFFIX}{known['id']}"
        _print_answer(_approved(shown, "already", user, (key, body["metadata"]["annotations"][key]), None), output)
        return
    key = requests.annotation_name(body, alias, user, request.identity or (known["id"] if known else ""))
    value = requests.approval_text(body, user, session.kube.groups(), request.comment)
    if (body["metadata"].get("annotations") or {}).get(key) == value:
        hint = "give another reason with -m"
        raise CliError("a renewed approval must differ from the existing one", hint=hint, code=USAGE)
    if not (request.yes or request.dry_run or _confirmed(name, alias, user)):
        raise CliError("not approved; nothing was written", code=FAILED)
    patch = {"metadata": {"annotations": {key: value}}}
    written = session.kube.patch(MODEL_VERSIONS, session.namespace, name, patch, dry_run=request.dry_run)
    missing = cases.unmet(case.judge(body["spec"]["version"], written)) if case else None
    _print_answer(_approved(shown, "dryRun" if request.dry_run else "approved", user, (key, value), missing), output)


def version_of(session: Session, text: str) -> Raw:
    """Return the ModelVersion that the text names. Raises AssayError."""
    if references.version_name(text) is None:
        hint = "name one version, for example digits.v24"
        raise CliError(f"invalid version name {text!r}", hint=hint, code=USAGE)
    return references.version(session, text)


def _described(session: Session, body: Raw, alias: str) -> tuple[Candidate, Case | None]:
    """Describe the version, compared with the live one if the user may read it."""
    try:
        case = Case(session, body["spec"]["model"], alias)
        found = queries_candidates.describe(session, body, alias, case)
    except ApiError as error:
        if error.status != 403:
            raise
        printing.note(f"the live version and the requirements of policies are not shown: {error}")
        return queries_candidates.describe(session, body, alias, None), None
    for text in case.notes:
        printing.note(text)
    if case.body is None:
        printing.note(f"alias {case.name} does not exist yet; the approval counts once it does")
    return found, case


def _warnings(body: Raw) -> Iterable[str]:
    name, phase = body["metadata"]["name"], models.phase(body)
    if body["metadata"].get("deletionTimestamp"):
        yield f"{name} is being deleted"
    elif is_archived(body):
        yield f"{name} is archived and cannot be bound"
    elif phase != "Ready":
        yield f"{name} is {phase} and cannot be bound before it is Ready"


def _confirmed(name: str, alias: str, user: str) -> bool:
    sys.stderr.write(printing.clean(f"\nApprove {name} for {alias} as {user}? [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _approved(
    shown: Candidate,
    outcome: Literal["approved", "already", "dryRun"],
    user: str,
    annotation: tuple[str, str],
    missing: str | None,
) -> Approved:
    return {
        "version": shown["version"]["name"],
        "alias": shown["alias"],
        "outcome": outcome,
        "digest": shown["version"]["digest"],
        "approver": user,
        "annotation": {"name": annotation[0], "value": annotation[1]},
        "missing": missing,
        "candidate": shown,
    }


def _print_answer(answer: Approved, output: Document) -> None:
    if output is not Document.TEXT:
        printing.document(answer, output.value)
        return
    if answer["outcome"] == "already":
        return
    done = "would be approved" if answer["outcome"] == "dryRun" else "approved"
    printing.write(f"\n{answer['version']} {done} for {answer['alias']} by {sheets.line(answer['approver'])}")
    if answer["outcome"] == "dryRun":
        written = answer["annotation"]
        printing.write(printing.clean(f"  {written['name']}: {written['value']}").replace("\n", "\n    "))
    if answer["missing"]:
        printing.write(f"Unmet requirements: {sheets.line(answer['missing'])}")
    elif answer["missing"] is not None:
        printing.write("All requirements are met.")


def command(
    session: Session,
    version: VersionName,
    alias: ForAlias,
    message: Message = "",
    identity: Annotated[str, typer.Option("--id", help="Id of the approval. Default: derived from your name.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Renew your approval, for example after it expired.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Compare a version with the live one, ask for confirmation, and approve it."""
    request = Request(message, identity, again=again, yes=yes, dry_run=dry_run)
    approve(session, version, alias, request, output)
