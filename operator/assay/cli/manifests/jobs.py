"""Checks the Job of a Run or Experiment as the API server would when the operator creates it.

The schema is the API server's own, as of Kubernetes 1.36. `python -m tests.job_schema` writes it, and a test compares
it with a real API server. ``planning.runs.template`` has the rules that no schema expresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path as File
from typing import Any, Final

from assay.cli.manifests import structure
from assay.cli.manifests.reading import Path
from assay.cli.manifests.structure import Problem, Schema
from assay.planning.runs import template

FILE: Final = File(__file__).with_name("job_schema.json")


def problems(job: Any, where: Path, *, with_data: bool) -> Iterator[Problem]:
    """Yield the problems of a Job's spec; ``where`` is its path in the manifest."""
    mistakes = [Problem((*where, *path), message) for path, message in template.faults(job, with_data=with_data)]
    yield from mistakes
    known = {each.path for each in mistakes}
    for each in structure.check(_schema(), _without_nulls(job), where):
        if each.path not in known:
            yield each


@cache
def _schema() -> Schema:
    definitions = json.loads(FILE.read_text(encoding="utf-8"))
    return _resolved(definitions["JobSpec"], definitions)


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a node with its references replaced. A JobSpec contains no schema that contains itself."""
    if "$ref" in node:
        node = definitions[node["$ref"]]
    if not node.get("type"):  # a quantity, or a port's name or number
        return {"x-kubernetes-preserve-unknown-fields": True}
    found = dict(node)
    for key in ("items", "additionalProperties"):
        if key in node:
            found[key] = _resolved(node[key], definitions)
    if "properties" in node:
        found["properties"] = {name: _resolved(each, definitions) for name, each in node["properties"].items()}
    return found


def _without_nulls(value: Any) -> Any:
    """Return a value without fields that are null: the API server treats them as absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
