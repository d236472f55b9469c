"""The audit trail: its last records, and whether it is intact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from assay.api.errors import InvalidRequest
from assay.queries.audit import trail
from assay.server.pages.site import Page, Visit
from assay.store.audit import verify_store

_RECORDS = 200


def trail_of(visit: Visit) -> Page:
    """Show the last records, and verify the whole trail if asked."""
    name = visit.query.get("object", "")
    if len(name) > 253:
        raise InvalidRequest("the name is too long")
    found = [each for each in trail.records(visit.person, None) if name in ("", each.object.name)]
    values: dict[str, Any] = {
        "object": name,
        "records": [each.model_dump(mode="json") for each in found[: -_RECORDS - 1 : -1]],
        "count": len(found),
        "here": visit.link("audit"),
        "report": _verified(visit) if visit.query.get("verify") else None,
    }
    return Page("audit.html", "Audit trail", values, "audit")


def _verified(visit: Visit) -> dict[str, Any]:
    """Return the report of `assay audit verify`, compared with the operator's head if the user may read it."""
    head = trail.stored_head(visit.person)
    report = verify_store(visit.person.trail_store, visit.namespace, [head] if head else [])
    return {**asdict(report), "intact": report.intact, "proven": report.proven, "head": str(report.head)}
