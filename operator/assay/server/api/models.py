"""Models and their versions."""

from __future__ import annotations

from typing_extensions import TypedDict

from assay.api.objects import Raw
from assay.queries import models, references
from assay.queries.models import Model, Version
from assay.server.api.operations import Call, Fresh, Nothing, Operation
from assay.server.freshness import Freshness


class ModelList(TypedDict):
    """Models, by name."""

    items: list[Model]
    freshness: Freshness


class VersionList(TypedDict):
    """Versions of a model, newest first."""

    items: list[Version]
    freshness: Freshness
    notes: list[str]


class OneVersion(TypedDict):
    """One version, and the object."""

    version: Version
    object: Raw
    notes: list[str]


def listed(call: Call, _: Fresh) -> ModelList:
    """Return the models of a namespace."""
    items = models.models_of(call.person)
    return {"items": items, "freshness": call.person.freshness}


def versions(call: Call, _: Fresh) -> VersionList:
    """Return the versions of a model."""
    model = call.path["model"]
    bodies = models.versions_of(call.person, model)
    states = models.states_of(call.person, model)
    items = [models.version(body, states) for body in bodies]
    return {"items": items, "freshness": call.person.freshness, "notes": call.person.notes}


def one(call: Call, _: Nothing) -> OneVersion:
    """Return one version; for an alias the live one."""
    body = references.version(call.person, call.path["version"])
    states = models.states_of(call.person, body["spec"]["model"])
    return {"version": models.version(body, states), "object": body, "notes": call.person.notes}


OPERATIONS = (
    Operation("models", "/namespaces/{namespace}/models", "List models.", listed, ModelList, Fresh),
    Operation(
        "versions", "/namespaces/{namespace}/models/{model}/versions", "List the versions of a model.",
        versions, VersionList, Fresh,
    ),
    Operation(
        "version", "/namespaces/{namespace}/versions/{version}",
        "Read one version: digits.v24, or digits.champion for the live one.", one, OneVersion,
    ),
)  # fmt: skip
