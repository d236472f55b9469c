"""Aliases: what is live, what is requested, and why."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import TypedDict

from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES
from assay.queries.models import AliasState, alias_state
from assay.queries.promotion import why
from assay.queries.promotion.cases import Case
from assay.queries.promotion.why import Why
from assay.server.api.operations import Call, Fresh, Operation, Query
from assay.server.freshness import Freshness


class AliasRow(AliasState):
    """One alias of a model."""

    name: str
    model: str
    message: str


class AliasList(TypedDict):
    """Aliases, by name."""

    items: list[AliasRow]
    freshness: Freshness


class WhyQuery(Query):
    """Which version."""

    version: int | None = Field(None, ge=1, description="Version to judge. Default: the requested one.")


def row(body: Raw) -> AliasRow:
    """Return the row of a ModelAlias."""
    message = (body.get("status") or {}).get("message") or ""
    return {**alias_state(body), "name": body["metadata"]["name"], "model": body["spec"]["model"], "message": message}


def listed(call: Call, _: Fresh) -> AliasList:
    """Return the aliases of a namespace."""
    found = [row(body) for body in call.person.objects(MODEL_ALIASES)]
    return {"items": sorted(found, key=lambda each: each["name"]), "freshness": call.person.freshness}


def explained(call: Call, query: WhyQuery) -> Why:
    """Return which requirements a version of an alias meets."""
    case = Case(call.person, call.path["model"], call.path["alias"])
    if case.body is None and query.version is None:
        raise ObjectNotFound(f"namespace {call.person.namespace} has no alias {case.name}", hint="name a version too")
    return why.answer(case, query.version)


OPERATIONS = (
    Operation("aliases", "/namespaces/{namespace}/aliases", "List aliases.", listed, AliasList, Fresh),
    Operation(
        "why", "/namespaces/{namespace}/models/{model}/aliases/{alias}/why",
        "Explain which requirements the version of an alias meets.", explained, Why, WhyQuery,
    ),
)  # fmt: skip
