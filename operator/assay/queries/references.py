"""Resolves the names that users type: runs, versions, aliases.

digits-3                                        a run, which may be archived
digits.v24  digits/24  models:/digits/24        a version
digits.champion  digits@champion  models:/digits@champion    an alias, or its live version
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, MODEL_ALIASES, MODEL_VERSIONS, RUNS, Resource
from assay.queries.access import Access

_VERSION = re.compile(r"(?:models:/)?(?P<model>[a-z0-9][a-z0-9-]*)(?:\.v|/)(?P<version>[1-9][0-9]*)")
_ALIAS = re.compile(r"(?:models:/)?(?P<model>[a-z0-9][a-z0-9-]*)[.@](?!v[0-9]+$)(?P<alias>[a-z0-9][a-z0-9-]*)")


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint with similar names; "" if there are none."""
    found = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(found)}?" if found else ""


def version_name(text: str) -> str | None:
    """Return the name of the ModelVersion that the text refers to, None if it is not a reference to one."""
    found = _VERSION.fullmatch(text)
    return f"{found['model']}.v{found['version']}" if found else None


def alias_name(text: str) -> str | None:
    """Return the name of the ModelAlias that the text refers to, None if it is not a reference to one."""
    found = _ALIAS.fullmatch(text)
    return f"{found['model']}.{found['alias']}" if found and not version_name(text) else None


def version(access: Access, text: str) -> Raw:
    """Return a ModelVersion; for an alias the live one. Raises AssayError."""
    name = version_name(text)
    if name is None:
        body = alias(access, text)
        live = (body.get("status") or {}).get("boundVersion")
        if not live:
            hint = f"`assay why {body['metadata']['name']}` shows what it waits for"
            raise ObjectNotFound(f"alias {body['metadata']['name']} is not bound to a version yet", hint=hint)
        name = f"{body['spec']['model']}.v{live}"
    return _found(access, MODEL_VERSIONS, "version", name)


def alias(access: Access, text: str) -> Raw:
    """Return a ModelAlias. Raises AssayError."""
    name = alias_name(text)
    if name is None:
        hint = "write an alias as digits.champion, a version as digits.v24"
        raise InvalidRequest(f"invalid alias or version name {text!r}", hint=hint)
    return _found(access, MODEL_ALIASES, "alias", name)


def experiment(access: Access, name: str) -> Raw:
    """Return an Experiment. Raises AssayError."""
    if access.kube.find(EXPERIMENTS, access.namespace, name) is None and access.kube.find(RUNS, access.namespace, name):
        hint = f"{name} is a run: `assay show {name}` shows it"
        raise ObjectNotFound(f"namespace {access.namespace} has no experiment {name}", hint=hint)
    return _found(access, EXPERIMENTS, "experiment", name)


def run(access: Access, name: str) -> Raw:
    """Return a Run from the cluster. Raises AssayError."""
    return _found(access, RUNS, "run", name)


def _found(access: Access, resource: Resource, what: str, name: str) -> Raw:
    found = access.kube.find(resource, access.namespace, name)
    if found is not None:
        return found
    known = [each["metadata"]["name"] for each in access.kube.list(resource, access.namespace)]
    hint = near(name, known) or f"`kubectl -n {access.namespace} get {resource[1]}` lists them"
    raise ObjectNotFound(f"namespace {access.namespace} has no {what} {name}", hint=hint)
