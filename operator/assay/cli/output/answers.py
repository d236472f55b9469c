"""The types of the commands' JSON output, including those that are built from dataclasses."""

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
from assay.queries.runs.experiment_list import ExperimentRow
from assay.queries.runs.explaining import RunDetails
from assay.queries.runs.rows import NamespacedRow, RunRow


class Validation(TypedDict):
    """Whether manifests are valid. ``skipped`` are the kinds of other objects."""

    valid: bool
    objects: int
    skipped: list[str]
    items: list[Complaint]


class RunList(TypedDict):
    """Runs."""

    items: list[RunRow]


class RunListEverywhere(TypedDict):
    """Runs of all namespaces."""

    items: list[NamespacedRow]


class ExperimentList(TypedDict):
    """Experiments."""

    items: list[ExperimentRow]


class CurveList(TypedDict):
    """Curves, one for each run and metric."""

    items: list[CurvePoints]


class ActiveRunList(TypedDict):
    """Runs that have not ended."""

    items: list[ActiveRun]


class ModelList(TypedDict):
    """Models."""

    items: list[Model]


class VersionList(TypedDict):
    """Versions of a model."""

    items: list[Version]


class StoredFile(TypedDict):
    """One file. ``key`` is its key in the bucket; ``sha256`` is hexadecimal, null if no manifest lists it yet."""

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
    """One difference between the store and what was recorded."""

    path: str
    problem: str
    message: str


class FileReport(TypedDict):
    """Whether the store matches what was recorded. ``deep``: every byte was read."""

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
    """A version that was downloaded."""

    version: str
    digest: str
    files: int
    bytes: int
    directory: str


class LineageNode(TypedDict):
    """One node of the graph; ``facts`` are for display."""

    id: str
    kind: str
    name: str
    facts: dict[str, str]


LineageEdge = TypedDict("LineageEdge", {"from": str, "relation": str, "to": str})


class Lineage(TypedDict):
    """A lineage graph; edges lead from workloads towards data."""

    root: str
    nodes: list[LineageNode]
    edges: list[LineageEdge]


class BindingApproval(TypedDict):
    """One approval that a binding was based on; ``sequence`` is the number of its record."""

    id: str
    approver: str
    time: str
    sequence: int


class Binding(TypedDict):
    """A version that an alias pointed to, with start and end; ``until`` is "" for the current one."""

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
    """All bindings of an alias."""

    items: list[Binding]


class AuditFinding(TypedDict):
    """One problem of a trail, at a record."""

    sequence: int
    kind: str
    message: str


class AuditReport(TypedDict):
    """Whether a trail is proven to be intact. ``more`` is the number of omitted findings.

    ``signed`` is the number of records with a valid signature, null without a key.
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
    """One object that can be restored, or was."""

    kind: str
    name: str
    action: str
    remarks: list[str]


class RestorePlan(TypedDict):
    """What can be restored of a namespace, and what cannot."""

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


#: By command. The more common of two answers comes first.
ANSWERS: Final[dict[str, tuple[type, ...]]] = {
    "validate": (Validation,),
    "runs": (RunList, RunListEverywhere),
    "experiments": (ExperimentList,),
    "show": (RunDetails,),
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
