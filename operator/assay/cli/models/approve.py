"""Approvals: one annotation each, in the user's own name and for the bytes that they were shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import typer
from typing_extensions import TypedDict

from assay.api import names
from assay.api.approvals import groups_line, read_approval
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
from assay.queries.models import Approval
from assay.queries.promotion import candidates as queries_candidates
from assay.queries.promotion import cases, rights
from assay.queries.promotion.candidates import Candidate
from assay.queries.promotion.cases import Case

_LONGEST_ID = 63


class Approved(TypedDict):
    """What has become of an approval. ``missing``: what the version still needs then; None if that is not known."""

    version: str
    alias: str
    outcome: Literal["approved", "already", "dryRun"]
    digest: str
    approver: str
    annotation: dict[str, str]
    missing: str | None
    candidate: Candidate


@dataclass(frozen=True)
class Wish:
    """How an approval is to be given: with which words and id, a second time, without being asked, or not at all."""

    comment: str = ""
    identity: str = ""
    again: bool = False
    yes: bool = False
    dry_run: bool = False


def approve(session: Session, text: str, alias: str, wish: Wish, output: Document) -> None:
    """Show what is approved, ask, and write the approval. Raises CliError."""
    if not (wish.yes or wish.dry_run or sys.stdin.isatty()):
        raise CliError("nobody can be asked here", hint="--yes approves, --dry-run only shows it", code=USAGE)
    body = version_of(session, text)
    name, model = body["metadata"]["name"], body["spec"]["model"]
    if references.alias_name(f"{model}.{alias}") is None:
        hint = "only its own name, for example --for champion"
        raise CliError(f"{alias!r} can be no alias", hint=hint, code=USAGE)
    user = session.kube.whoami()
    rights.require(session, "approve", model, alias)
    shown, case = _described(session, body, alias)
    if output is Document.TEXT:
        candidates.show(shown)
    for warning in _warnings(body):
        printing.note(f"warning: {warning}")
    known = own_approval(body, alias, user)
    if known and not wish.again:
        printing.note(f"{user} has approved {name} for {alias} already (id {known['id']}); nothing was written")
        key = f"{alias}{names.APPROVAL_SUFFIX}{known['id']}"
        _tell(_approved(shown, "already", user, (key, body["metadata"]["annotations"][key]), None), output)
        return
    key = annotation_name(body, alias, user, wish.identity or (known["id"] if known else ""))
    groups = groups_line(session.kube.groups())
    value = "\n".join(filter(None, [f"{body['spec']['artifact']['digest']} {user}", groups, wish.comment]))
    if (body["metadata"].get("annotations") or {}).get(key) == value:
        hint = "say with -m why it is given anew"
        raise CliError("an approval that is given again has to differ from what is there", hint=hint, code=USAGE)
    if not (wish.yes or wish.dry_run or _agreed(name, alias, user)):
        raise CliError("not approved; nothing was written", code=FAILED)
    patch = {"metadata": {"annotations": {key: value}}}
    written = session.kube.patch(MODEL_VERSIONS, session.namespace, name, patch, dry_run=wish.dry_run)
    missing = cases.unmet(case.judge(body["spec"]["version"], written)) if case else None
    _tell(_approved(shown, "dryRun" if wish.dry_run else "approved", user, (key, value), missing), output)


def own_approval(body: Raw, alias: str, user: str) -> Approval | None:
    """Return the approval of a user for an alias and for the bytes of the version, None when there is none."""
    given = (each for each in models.approvals(body, alias) if each["approver"] == user and each["valid"])
    return next(given, None)


def annotation_name(body: Raw, alias: str, user: str, identity: str = "") -> str:
    """Return the name of the user's annotation: by the id given, else by one made of their name that is free."""
    if identity:
        name = f"{alias}{names.APPROVAL_SUFFIX}{identity}"
        if read_approval(name, f"sha256:{'0' * 64} {user}") is None:
            hint = "letters, digits and -_. inside, at most 63"
            raise CliError(f"{identity!r} can be no id of an approval", hint=hint, code=USAGE)
        return name
    taken = {each["id"]: each["approver"] for each in models.approvals(body, alias)}
    made = next(each for each in _identities(user) if taken.get(each, user) == user)
    return f"{alias}{names.APPROVAL_SUFFIX}{made}"


def _identities(user: str) -> Iterable[str]:
    """Yield ids for a user, the plainest first; names that differ may come to the same one."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", user)[: _LONGEST_ID - 4].strip("-_.") or "approval"
    yield plain
    yield from (f"{plain}-{number}" for number in range(2, 1000))


def version_of(session: Session, text: str) -> Raw:
    """Return the ModelVersion that a text names. Raises AssayError."""
    if references.version_name(text) is None:
        hint = "an approval is for one version, for example digits.v24"
        raise CliError(f"{text!r} names no version", hint=hint, code=USAGE)
    return references.version(session, text)


def _described(session: Session, body: Raw, alias: str) -> tuple[Candidate, Case | None]:
    """Return what is to be approved, beside what is live if the user may read that."""
    try:
        case = Case(session, body["spec"]["model"], alias)
        found = queries_candidates.describe(session, body, alias, case)
    except ApiError as error:
        if error.status != 403:
            raise
        printing.note(f"what is live, and what policies ask for, is not shown: {error}")
        return queries_candidates.describe(session, body, alias, None), None
    for text in case.notes:
        printing.note(text)
    if case.body is None:
        printing.note(f"there is no alias {case.name} yet; an approval can be given beforehand")
    return found, case


def _warnings(body: Raw) -> Iterable[str]:
    name, phase = body["metadata"]["name"], models.phase(body)
    if body["metadata"].get("deletionTimestamp"):
        yield f"{name} is being deleted"
    elif is_archived(body):
        yield f"{name} is archived, and cannot be bound"
    elif phase != "Ready":
        yield f"{name} is {phase}, and cannot be bound before it is Ready"


def _agreed(name: str, alias: str, user: str) -> bool:
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


def _tell(answer: Approved, output: Document) -> None:
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
        printing.write(f"Still missing: {sheets.line(answer['missing'])}")
    elif answer["missing"] is not None:
        printing.write("Nothing is missing then.")


def command(
    session: Session,
    version: VersionName,
    alias: ForAlias,
    message: Message = "",
    identity: Annotated[str, typer.Option("--id", help="Id of the approval; your name if left out.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Give it anew, for example when it has expired.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Show a version beside the one that is live, ask, and approve it."""
    given = Wish(message, identity, again=again, yes=yes, dry_run=dry_run)
    approve(session, version, alias, given, output)
