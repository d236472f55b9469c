"""The audit trail: records, and the history of an alias."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from assay.api.objects import Raw
from assay.queries.audit import history, trail
from assay.server.api.operations import Call, Nothing, Operation, Query


class RecordQuery(Query):
    """Which records."""

    object: str = Field("", description="Only records of the object with this name.")
    last: int = Field(100, ge=1, le=10_000, description="The last records.")


class RecordList(TypedDict):
    """Records, oldest first, as docs/audit.md describes them. ``total`` match."""

    items: list[Raw]
    total: int
    notes: list[str]


class History(TypedDict):
    """The bindings of an alias, oldest first."""

    items: list[dict[str, Any]]
    notes: list[str]


def records(call: Call, query: RecordQuery) -> RecordList:
    """Return the last records of a namespace."""
    found = [each for each in trail.records(call.person, None) if query.object in ("", each.object.name)]
    items = [each.model_dump(mode="json") for each in found[-query.last :]]
    return {"items": items, "total": len(found), "notes": call.person.notes}


def bindings(call: Call, _: Nothing) -> History:
    """Return which versions an alias pointed to."""
    found = history.bindings_of(call.person, call.path["model"], call.path["alias"])
    return {"items": [asdict(each) for each in found], "notes": call.person.notes}


OPERATIONS = (
    Operation(
        "audit", "/namespaces/{namespace}/audit", "List records of the audit trail.", records, RecordList, RecordQuery
    ),
    Operation(
        "history", "/namespaces/{namespace}/models/{model}/aliases/{alias}/history",
        "Show which versions an alias pointed to.", bindings, History,
    ),
)  # fmt: skip
