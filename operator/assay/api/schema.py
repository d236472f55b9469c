"""Convert pydantic's JSON schema to the structural schema that a CustomResourceDefinition requires.

The API server's dialect (apiextensions.k8s.io/v1) has no ``$ref``, ``const`` or ``title``, requires a type at every
node, and uses ``nullable`` where JSON schema uses ``anyOf``. Source:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import json
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = ("title", "additionalProperties", "discriminator", "examples", "propertyNames")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model. Raises ValueError for anything that the dialect cannot express."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def without_defaults(node: Schema) -> Schema:
    """Return a structural schema in which each default is part of the description, so that the API server stores none.

    A stored default has no field manager. A GitOps tool that compares by field managers takes its live value, so it
    does not notice when a line is removed from Git: a policy would stay open. An absent field stays absent, and the
    models here give it its value.
    """
    out = {key: value for key, value in node.items() if key != "default"}
    if node.get("default") not in (None, {}, []):
        out["description"] = f"{node['description']} If omitted: {json.dumps(node['default'])}."
    for key in ("properties", "items", "additionalProperties"):
        if key == "properties" and key in node:
            out[key] = {name: without_defaults(value) for name, value in node[key].items()}
        elif isinstance(node.get(key), dict):
            out[key] = without_defaults(node[key])
    return out


def _convert(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    node = _inline(node, definitions)
    out = {key: value for key, value in node.items() if key not in (*_DROPPED, "$defs", "properties", "items")}
    if "const" in out:
        out["enum"] = [out.pop("const")]
    _bounds(out)
    if "properties" in node:
        out["properties"] = {
            key: _convert(value, definitions, f"{path}.{key}") for key, value in node["properties"].items()
        }
    if "items" in node:
        out["items"] = _convert(node["items"], definitions, f"{path}[]")
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        out["additionalProperties"] = _convert(values, definitions, f"{path}{{}}")
    if out.pop("uniqueItems", False):
        out["x-kubernetes-list-type"] = "set"
    if "type" not in out and not out.get(_PRESERVE):
        raise ValueError(f"{path}: a structural schema requires a type: {out}")
    return out


def _inline(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Resolve ``$ref`` and the ``anyOf [X, null]`` of an optional field; the node's own keys take precedence."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**target, **rest}, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"a union of {len(choices)} types has no structural schema: {node}")
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        if rest.get("default", ...) is None:
            del rest["default"]
        return _inline({**choices[0], **rest}, definitions)
    return node


def _bounds(out: Schema) -> None:
    """Rewrite ``exclusiveMinimum`` and ``exclusiveMaximum`` in the older form: the bound plus a boolean."""
    for side in ("minimum", "maximum"):
        exclusive = "exclusive" + side.capitalize()
        if exclusive in out:
            out[side] = out[exclusive]
            out[exclusive] = True
