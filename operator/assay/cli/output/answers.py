"""What commands answer as JSON: one type for each of them, and for those that are built from other things its shape."""

from __future__ import annotations

from typing import Final, NotRequired

from typing_extensions import TypedDict

from assay.api.objects import Raw
from assay.cli.manifests.validate import Complaint
from assay.cli.models.approve import Approved
from assay.cli.models.moving import Moved
from assay.cli.models.revoke import Revoked
from assay.cli.output.curve_points import CurvePoints
from assay.cli.runs.rerun import Rerun
from assay.queries.models import Model, Version
from assay.queries.promotion.why import Why
from assay.queries.runs.active import ActiveRun
from assay.queries.runs.comparison import Comparison
from assay.queries.runs.differences import Diff
from assay.queries.runs.rows import RunRow


class Validation(TypedDict):
    """Whether manifests are valid. ``skipped`` are the kinds of other objects."""

    valid: bool
    objects: int
    skipped: list[str]
    items: list[Complaint]


class RunList(TypedDict):
    """Runs."""

    items: list[RunRow]


class CurveList(TypedDict):
    """Curves, one for each run and metric."""

    items: list[CurvePoints]


class ActiveRunList(TypedDict):
    """Runs that go on."""

    items: list[ActiveRun]


class ModelList(TypedDict):
    """Models."""

    items: list[Model]


class VersionList(TypedDict):
    """Versions of a model."""

    items: list[Version]


class StoredFile(TypedDict):
    """One file. ``key`` is its place in the bucket; ``sha256`` is hexadecimal, null where no manifest has it yet."""

    path: str
    size: int
    sha256: str | None
    expired: bool
    key: str


class FileList(TypedDict):
    """Files of a run or a version."""

    name: str
    kind: str
    items: list[StoredFile]


class FileFinding(TypedDict):
    """One thing in the store that is not as it was recorded."""

    path: str
    problem: str
    message: str


class FileReport(TypedDict):
    """Whether the store has what was recorded. ``deep``: every byte was read."""

    name: str
    kind: str
    deep: bool
    files: int
    bytes: int
    expired: int
    signature: str
    intact: bool
    findings: list[FileFinding]


class PulledVersion(TypedDict):
    """A version that is on this machine now."""

    version: str
    digest: str
    files: int
    bytes: int
    directory: str


class LineageNode(TypedDict):
    """One thing; ``facts`` are for people."""

    id: str
    kind: str
    name: str
    facts: dict[str, str]


LineageEdge = TypedDict("LineageEdge", {"from": str, "relation": str, "to": str})


class Lineage(TypedDict):
    """What something comes from: edges lead from what is served to the data."""

    root: str
    nodes: list[LineageNode]
    edges: list[LineageEdge]


class BindingApproval(TypedDict):
    """One approval that a binding rested on; ``sequence`` is the number of its record."""

    id: str
    approver: str
    time: str
    sequence: int


class Binding(TypedDict):
    """Which version an alias held from when to when; ``until`` is "" for the one that it holds."""

    model: str
    alias: str
    version: int
    digest: str
    since: str
    until: str
    by: str
    action: str
    reason: str
    sequence: int
    approvals: list[BindingApproval]
    registered: Raw | None
    registeredBy: str


class History(TypedDict):
    """All that an alias has held."""

    items: list[Binding]


class AuditFinding(TypedDict):
    """One thing that is wrong with a trail, at a record."""

    sequence: int
    kind: str
    message: str


class AuditReport(TypedDict):
    """Whether a trail is proven to be whole. ``more`` counts findings that are left out.

    ``signed`` counts records with a valid signature, null when no key was named.
    """

    namespace: str
    records: int
    head: str
    findings: list[AuditFinding]
    more: int
    intact: bool
    expected: list[str]
    versionsChecked: bool
    signed: int | None


class AuditRecordList(TypedDict):
    """Records, as docs/audit.md describes them."""

    items: list[Raw]


class RestoredPart(TypedDict):
    """One object that can be made again, or was."""

    kind: str
    name: str
    action: str
    remarks: list[str]


class RestorePlan(TypedDict):
    """What can be made again of a namespace, and what cannot."""

    namespace: str
    head: str
    intact: bool
    items: list[RestoredPart]
    leftOut: list[str]


class Manifest(TypedDict):
    """A ModelVersion for another cluster."""

    apiVersion: str
    kind: str
    metadata: Raw
    spec: Raw
    status: NotRequired[Raw]


#: By command. A command with two answers has the one that is more usual first.
ANSWERS: Final[dict[str, tuple[type, ...]]] = {
    "validate": (Validation,),
    "runs": (RunList,),
    "compare": (Comparison,),
    "curves": (CurveList,),
    "diff": (Diff,),
    "rerun": (Rerun,),
    "top": (ActiveRunList,),
    "models": (ModelList,),
    "versions": (VersionList,),
    "why": (Why,),
    "approve": (Approved,),
    "revoke": (Revoked,),
    "promote": (Moved,),
    "rollback": (Moved,),
    "artifacts ls": (FileList,),
    "artifacts verify": (FileReport,),
    "pull": (PulledVersion,),
    "lineage": (Lineage,),
    "history": (History, Binding),
    "audit verify": (AuditReport,),
    "audit list": (AuditRecordList,),
    "export": (Manifest,),
    "restore": (RestorePlan,),
}
