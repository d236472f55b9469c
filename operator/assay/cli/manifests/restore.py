"""`assay restore`: recreates policies, versions and aliases from the store and the trail after a cluster was lost.

It shows the plan first. Existing objects are left unchanged. Approvals are not restored.
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
_APPROVALS = "approvals are not restored: approvers must approve again; aliases stay blocked until then"


@dataclass
class Part:
    """One object from the store: the action for it, and remarks."""

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
    """What can be restored, each object after those it depends on, and what cannot."""

    namespace: str
    head: str
    intact: bool
    parts: list[Part]
    left_out: list[str]

    def document(self) -> Raw:
        """Return the plan as JSON, with each part as ``{"kind", "name", "action", "remarks"}``."""
        items = [
            {"kind": part.kind, "name": part.name, "action": part.action, "remarks": part.remarks}
            for part in self.parts
        ]
        counted = {"namespace": self.namespace, "head": self.head, "intact": self.intact}
        return {**counted, "items": items, "leftOut": self.left_out}


@dataclass(frozen=True)
class Request:
    """Whether to skip the confirmation, to write nothing, and to accept a trail that is not intact."""

    yes: bool = False
    dry_run: bool = False
    damaged: bool = False


def run(session: Session, expect: list[str], request: Request, output: Document) -> None:
    """Show what can be restored, ask for confirmation, and restore it. Raises AssayError, StoreError."""
    if not (request.yes or request.dry_run or sys.stdin.isatty()):
        raise CliError(
            "cannot ask for confirmation without a terminal", hint="use --yes to restore, or --dry-run", code=USAGE
        )
    plan = _plan(session, expect, damaged=request.damaged)
    if output is Document.TEXT:
        _show(plan)
    missing = [part for part in plan.parts if part.action == "create"]
    if missing and not (request.yes or request.dry_run or _confirmed(plan, len(missing))):
        raise CliError("not restored; nothing was written", code=FAILED)
    for part in missing:
        _create(session, part, dry_run=request.dry_run)
    failed = [part for part in missing if part.action == "failed"]
    _print_result(plan, missing, output, dry_run=request.dry_run)
    if failed:
        hint = "run the same command again to create the rest; docs/operations.md lists the verbs it needs"
        raise CliError(f"{len(failed)} of {len(missing)} objects could not be created", hint=hint)


def _plan(session: Session, expect: list[str], *, damaged: bool) -> Plan:
    published = trail.stored_head(session)
    expected: list[Head] = [trail.read_head(text) for text in expect] + ([published] if published else [])
    report = verify_store(session.trail_store, session.namespace, expected)
    _check(report, damaged=damaged)
    if not expected:
        printing.note("no independent head to compare with: missing records at the end cannot be detected")
    found = restore(session.store, session.trail_store, session.namespace)
    parts = [_part(session, manifest, remarks) for manifest, remarks in found.manifests]
    return Plan(session.namespace, str(report.head), report.intact and bool(report.records), parts, _left_out(found))


def _check(report: Report, *, damaged: bool) -> None:
    if report.records and report.intact:
        return
    for finding in report.findings:
        printing.note(f"{finding.kind}: {finding.message}")
    what = "is not intact" if report.records else "does not exist"
    if damaged:
        printing.note(f"WARNING: the audit trail of {report.namespace} {what}; check every line of the plan")
        return
    hint = "nothing was written; --damaged continues anyway"
    raise CliError(f"the audit trail of {report.namespace} {what}", hint=hint, code=NO)


def _left_out(found: Restored) -> list[str]:
    return [printing.clean(line) for line in found.left_out]


def _part(session: Session, manifest: Raw, remarks: list[str]) -> Part:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    live = session.kube.find(_RESOURCES[kind], session.namespace, name)
    if live is None:
        return Part(manifest, "create", remarks)
    before, now = _points_to(manifest), _points_to(live)
    return Part(manifest, "exists", [f"it has {now}, before it had {before}"] if before != now else remarks)


def _points_to(body: Raw) -> str:
    """Return what an object points to: the version of an alias, the digest of a version."""
    spec = body["spec"]
    if body["kind"] == names.MODEL_ALIAS:
        return f"version {spec['version']}"
    return f"digest {spec['artifact']['digest']}" if body["kind"] == names.MODEL_VERSION else ""


def _confirmed(plan: Plan, count: int) -> bool:
    sys.stderr.write(f"Create these {count} objects in namespace {plan.namespace}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _create(session: Session, part: Part, *, dry_run: bool) -> None:
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
        printing.note(f"nothing to restore in namespace {plan.namespace}")
    else:
        printing.table(_COLUMNS, [(part.action, part.kind, part.name, "; ".join(part.remarks)) for part in plan.parts])
    for line in plan.left_out:
        printing.note(f"omitted: {line}")


def _print_result(plan: Plan, missing: list[Part], output: Document, *, dry_run: bool) -> None:
    if output is not Document.TEXT:
        printing.document(plan.document(), output.value)
        return
    for part in missing:
        if part.action == "failed":
            printing.write(printing.clean(f"failed  {part.kind} {part.name}: {part.remarks[0]}"))
        elif not dry_run:
            printing.write(f"{part.action}  {part.kind} {part.name}")
    if missing:
        printing.note("dry run: the API server accepted the objects, nothing was created" if dry_run else _APPROVALS)


def command(
    session: Session,
    namespace: Annotated[
        str, typer.Argument(autocompletion=completion.namespaces, help="Namespace, the same as --namespace.")
    ] = "",
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="Head that was saved elsewhere: 42:SHA256 or @FILE; can be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server check the objects, but create nothing.")
    ] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Continue although the trail is not intact.")] = False,
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Restore policies, versions and aliases from the store and the audit trail, after confirmation."""
    session.namespace_option = namespace or session.namespace_option
    request = Request(yes=yes, dry_run=dry_run, damaged=damaged)
    run(session, expect or [], request, output)
