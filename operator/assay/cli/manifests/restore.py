"""A namespace's policies, versions and aliases, made again from the store and the trail when the cluster was lost.

First it is shown what would be made. What is there already is left as it is. Approvals are not made again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated, Literal

import typer

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS, PROMOTION_POLICIES
from assay.cli import completion
from assay.cli.errors import FAILED, NO, USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.printing import Column, Document
from assay.cli.session import Session
from assay.kube.errors import ApiError
from assay.queries.audit import trail
from assay.store.audit import Head, Report, verify_store
from assay.store.restore import Restored, restore

Action = Literal["create", "exists", "created", "failed"]

_RESOURCES = {
    names.PROMOTION_POLICY: PROMOTION_POLICIES,
    names.MODEL_VERSION: MODEL_VERSIONS,
    names.MODEL_ALIAS: MODEL_ALIASES,
}
_APPROVALS = "approvals are given anew, by people in their own names: until then aliases are held"


@dataclass
class Part:
    """One object that there was: what is done about it, and what is to be known of it."""

    manifest: Raw
    action: Action
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.manifest["kind"])


@dataclass(frozen=True)
class Plan:
    """What can be made again, in the order in which each finds what it rests on, and what cannot."""

    namespace: str
    head: str
    intact: bool
    parts: list[Part]
    left_out: list[str]

    def document(self) -> Raw:
        """The plan as JSON, with each part as ``{"kind", "name", "action", "remarks"}``."""
        items = [
            {"kind": part.kind, "name": part.name, "action": part.action, "remarks": part.remarks}
            for part in self.parts
        ]
        counted = {"namespace": self.namespace, "head": self.head, "intact": self.intact}
        return {**counted, "items": items, "leftOut": self.left_out}


@dataclass(frozen=True)
class Wish:
    """Whether to go on without being asked, to try it out only, and to believe a trail that is not intact."""

    yes: bool = False
    dry_run: bool = False
    damaged: bool = False


def run(session: Session, expect: list[str], wish: Wish, output: Document) -> None:
    """Show what can be made again and, when it is agreed to, make it. Raises CliError, StoreError."""
    if not (wish.yes or wish.dry_run or sys.stdin.isatty()):
        raise CliError("nobody can be asked here", hint="--yes makes it, --dry-run only tries it out", code=USAGE)
    plan = _plan(session, expect, damaged=wish.damaged)
    if output is Document.TEXT:
        _show(plan)
    wanted = [part for part in plan.parts if part.action == "create"]
    if wanted and not (wish.yes or wish.dry_run or _agreed(plan, len(wanted))):
        raise CliError("not restored; nothing was written", code=FAILED)
    for part in wanted:
        _make(session, part, dry_run=wish.dry_run)
    failed = [part for part in wanted if part.action == "failed"]
    _tell(plan, wanted, output, dry_run=wish.dry_run)
    if failed:
        hint = "the same command makes what is missing; docs/operations.md says which verbs it needs"
        raise CliError(f"{len(failed)} of {len(wanted)} could not be made", hint=hint)


def _plan(session: Session, expect: list[str], *, damaged: bool) -> Plan:
    kept = trail.kept_head(session)
    expected: list[Head] = [trail.read_head(text) for text in expect] + ([kept] if kept else [])
    report = verify_store(session.trail_store, session.namespace, expected)
    _check(report, damaged=damaged)
    if not expected:
        printing.note("no head is known from elsewhere: records that were cut off at the end cannot be noticed")
    found = restore(session.store, session.trail_store, session.namespace)
    parts = [_part(session, manifest, remarks) for manifest, remarks in found.manifests]
    return Plan(session.namespace, str(report.head), report.intact and bool(report.records), parts, _left_out(found))


def _check(report: Report, *, damaged: bool) -> None:
    if report.records and report.intact:
        return
    for finding in report.findings:
        printing.note(f"{finding.kind}: {finding.message}")
    what = "is not intact" if report.records else "is not there"
    if damaged:
        printing.note(f"WARNING: the audit trail of {report.namespace} {what}; look at every line of what follows")
        return
    hint = "nothing was written; --damaged goes on all the same"
    raise CliError(f"the audit trail of {report.namespace} {what}", hint=hint, code=NO)


def _left_out(found: Restored) -> list[str]:
    return [printing.clean(line) for line in found.left_out]


def _part(session: Session, manifest: Raw, remarks: list[str]) -> Part:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    live = session.kube.find(_RESOURCES[kind], session.namespace, name)
    if live is None:
        return Part(manifest, "create", remarks)
    wanted, there = _points_to(manifest), _points_to(live)
    return Part(manifest, "exists", [f"it has {there}, and had {wanted}"] if wanted != there else remarks)


def _points_to(body: Raw) -> str:
    """What counts of an object: the version of an alias, the digest of a version."""
    spec = body["spec"]
    if body["kind"] == names.MODEL_ALIAS:
        return f"version {spec['version']}"
    return f"digest {spec['artifact']['digest']}" if body["kind"] == names.MODEL_VERSION else ""


def _agreed(plan: Plan, count: int) -> bool:
    sys.stderr.write(f"Create these {count} objects in the namespace {plan.namespace}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _make(session: Session, part: Part, *, dry_run: bool) -> None:
    try:
        session.kube.create(_RESOURCES[part.kind], session.namespace, part.manifest, dry_run=dry_run)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            part.action = "exists"
            return
        if not error.status:
            raise
        part.action, part.remarks = "failed", [error.message]
        return
    part.action = "create" if dry_run else "created"


_COLUMNS = (
    Column("ACTION", styles={"create": "green", "exists": "yellow"}),
    Column("KIND"),
    Column("NAME"),
    Column("WHY"),
)


def _show(plan: Plan) -> None:
    if not plan.parts:
        printing.note(f"nothing can be made again in {plan.namespace}")
    else:
        printing.table(_COLUMNS, [(part.action, part.kind, part.name, "; ".join(part.remarks)) for part in plan.parts])
    for line in plan.left_out:
        printing.note(f"left out: {line}")


def _tell(plan: Plan, wanted: list[Part], output: Document, *, dry_run: bool) -> None:
    if output is not Document.TEXT:
        printing.document(plan.document(), output.value)
        return
    for part in wanted:
        if part.action == "failed":
            printing.write(printing.clean(f"failed  {part.kind} {part.name}: {part.remarks[0]}"))
        elif not dry_run:
            printing.write(f"{part.action}  {part.kind} {part.name}")
    if wanted:
        printing.note("the API server has tried it out, nothing was made" if dry_run else _APPROVALS)


def command(
    session: Session,
    namespace: Annotated[
        str, typer.Argument(autocompletion=completion.namespaces, help="As --namespace says it, too.")
    ] = "",
    expect: Annotated[
        list[str] | None, typer.Option("--expect", help="A head kept elsewhere: 42:SHA256, @FILE.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make it without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server try it out, and make nothing.")
    ] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Go on although the trail is not intact.")] = False,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Make policies, versions and aliases again from the store and the audit trail; shows and asks first."""
    session.namespace_option = namespace or session.namespace_option
    wish = Wish(yes=yes, dry_run=dry_run, damaged=damaged)
    run(session, expect or [], wish, output)
