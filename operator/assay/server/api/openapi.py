"""The OpenAPI document of the API, made from the tables of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from assay import __version__
from assay.api.objects import Raw
from assay.server.answers import as_json
from assay.server.api.operations import PREFIX, Operation

_REFERENCE = "#/components/schemas/{model}"


class Problem(TypedDict):
    """What is wrong, and what to do about it."""

    message: str
    hint: str


class Failed(TypedDict):
    """The body of every status of 400 and more."""

    error: Problem


def document(operations: Sequence[Operation]) -> Raw:
    """Return the OpenAPI 3.1 document. Raises TypeError if two types have the same name."""
    kinds: list[Any] = list(dict.fromkeys([*(each.answer for each in operations), Failed]))
    adapters: list[Any] = [(kind, "serialization", TypeAdapter(kind)) for kind in kinds]
    schemas, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REFERENCE)
    components = definitions.get("$defs", {})
    paths: dict[str, Raw] = {}
    for each in operations:
        answer = schemas[_key(each.answer)]
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each, answer, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Assay",
            "version": __version__,
            "description": "Runs, curves, models and the audit trail, with the rights of the caller.",
        },
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of the Kubernetes API."}
            },
        },
    }


def _key(kind: Any) -> Any:
    return kind, "serialization"


def _operation(each: Operation, answer: Raw, components: Raw) -> Raw:
    answered = {"description": "The answer", "content": _content(answer, each.content)}
    failed = {"description": "What is wrong", "content": _content(_reference("Failed"))}
    found: Raw = {
        "operationId": each.name,
        "summary": each.summary,
        "parameters": [*_in_path(each.path), *_in_query(each)],
        "responses": {"200": answered, "default": failed},
    }
    if each.body is not None:
        schema = each.body.model_json_schema(ref_template=_REFERENCE)
        components.update(schema.pop("$defs", {}))
        found["requestBody"] = {"required": True, "content": _content(schema)}
    return found


def _content(schema: Raw, kind: str = "application/json") -> Raw:
    return {kind: {"schema": schema}}


def _reference(name: str) -> Raw:
    return {"$ref": _REFERENCE.format(model=name)}


def _in_path(path: str) -> list[Raw]:
    names = re.findall(r"{([a-z]+)(?::path)?}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(each: Operation) -> list[Raw]:
    schema = each.query.model_json_schema()
    required = schema.get("required") or []
    return [
        {"name": name, "in": "query", "required": name in required, "description": field.pop("description", ""),
         "schema": {key: value for key, value in field.items() if key != "title"}}
        for name, field in (schema.get("properties") or {}).items()
    ]  # fmt: skip


def route(operations: Sequence[Operation]) -> Route:
    """Return the route of the document."""
    found = document(operations)

    def openapi(_: Request) -> Response:
        return as_json(found)

    return Route(f"{PREFIX}/openapi.json", openapi, name="openapi")
