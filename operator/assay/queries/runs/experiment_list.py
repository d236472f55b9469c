"""The experiments of a namespace, as rows."""

from __future__ import annotations

from typing_extensions import TypedDict

from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS
from assay.queries.access import Access


class ExperimentRow(TypedDict):
    """One experiment. ``value`` is the best value of the objective's ``metric``, None if there is none."""

    namespace: str
    name: str
    phase: str
    message: str
    progress: str
    total: int
    failed: int
    metric: str
    best: str
    value: float | None
    owner: str
    created: str
    suspended: bool


def listed(access: Access, *, everywhere: bool = False) -> list[ExperimentRow]:
    """Return the experiments of the namespace, or of all namespaces, newest first. Raises AssayError."""
    found = access.kube.list(EXPERIMENTS, "" if everywhere else access.namespace)
    return sorted((_of_experiment(each) for each in found), key=lambda each: each["created"], reverse=True)


def _of_experiment(body: Raw) -> ExperimentRow:
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    counts, best = status.get("runs") or {}, status.get("best") or {}
    return ExperimentRow(
        namespace=metadata["namespace"],
        name=metadata["name"],
        phase=status.get("phase") or "Pending",
        message=status.get("message") or "",
        progress=status.get("progress") or "",
        total=counts.get("total") or 0,
        failed=counts.get("failed") or 0,
        metric=(spec.get("objective") or {}).get("metric") or "",
        best=best.get("run") or "",
        value=best.get("value"),
        owner=spec.get("owner") or "",
        created=metadata.get("creationTimestamp") or "",
        suspended=bool(spec.get("suspend")),
    )
