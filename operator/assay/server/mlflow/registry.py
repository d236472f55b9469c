"""The registry: models, versions and aliases. An alias is written as the user, and held by the gate like any other."""

from __future__ import annotations

import re
from contextlib import suppress

from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES
from assay.queries import models, references
from assay.queries.promotion import cases, requests
from assay.queries.promotion.cases import Case
from assay.server.mlflow import entities
from assay.server.mlflow.calls import Call, whole

_NAME = re.compile(r"""\s*(?:name|run_id)\s*=\s*(?:'([^']*)'|"([^"]*)")\s*""", re.IGNORECASE)

#: Clients always leave out prompts, which are models for them. There are none here.
_PROMPTS = re.compile(r"(\s*and\s+)?tags?\.[`\"]?mlflow\.prompt\.is_prompt[`\"]?\s*!=\s*'true'", re.IGNORECASE)


def search_models(call: Call) -> Raw:
    """Return the models of the namespace that have versions."""
    return {"registered_models": [_model(name, found) for name, found in _searched(call).items()]}


def get_model(call: Call) -> Raw:
    """Return one model."""
    name = call.need("name")
    return {"registered_model": _model(name, _versions(call, name))}


def _model(name: str, found: list[Raw]) -> Raw:
    aliases = [{"alias": alias, "version": each["version"]} for each in found for alias in each["aliases"]]
    times = [each["creation_timestamp"] for each in found]
    return {
        "name": name,
        "creation_timestamp": min(times),
        "last_updated_timestamp": max(times),
        "latest_versions": found[:1],
        "aliases": aliases,
        "tags": [],
    }


def _versions(call: Call, model: str) -> list[Raw]:
    states = models.states_of(call.person, model)
    bodies = models.versions_of(call.person, model)
    return [entities.version(body, models.version(body, states)) for body in bodies]


def search_versions(call: Call) -> Raw:
    """Return the versions of a model, or of all; newest first."""
    return {"model_versions": [version for found in _searched(call).values() for version in found]}


def _searched(call: Call) -> dict[str, list[Raw]]:
    """Return the versions of the model that a filter asks for, otherwise of all models, by model."""
    wanted = _wanted(call)
    found: dict[str, list[Raw]] = {}
    for name in [wanted] if wanted else [each["model"] for each in models.models_of(call.person)]:
        with suppress(ObjectNotFound):  # an alias can be there before the first version
            found[name] = _versions(call, name)
    return found


def _wanted(call: Call) -> str:
    """Return the name that a filter asks for, "" for none."""
    text = _PROMPTS.sub("", str(call.get("filter") or ""))
    if not text.strip():
        return ""
    found = _NAME.fullmatch(text)
    if found is None or not text.lower().lstrip().startswith("name"):
        raise InvalidRequest(f"Invalid filter '{text[:200]}': only name = '…' is supported here")
    return found[1] or found[2] or ""


def get_version(call: Call) -> Raw:
    """Return one version."""
    return {"model_version": _one(call, f"{call.need('name')}/{call.need('version')}")}


def get_by_alias(call: Call) -> Raw:
    """Return the live version of an alias."""
    return {"model_version": _one(call, f"{call.need('name')}@{call.need('alias')}")}


def _one(call: Call, reference: str) -> Raw:
    body = references.version(call.person, reference)
    states = models.states_of(call.person, body["spec"]["model"])
    return entities.version(body, models.version(body, states))


def download_address(call: Call) -> Raw:
    """Return where the registered copy of a version is."""
    found = _one(call, f"{call.need('name')}/{call.need('version')}")
    return {"artifact_uri": found["source"]}


def set_alias(call: Call) -> Raw:
    """Request a version for an alias. The answer says what the alias waits for."""
    model, alias, number = call.need("name"), call.need("alias"), call.need("version")
    person, version = call.person, whole(number) or 0
    case = Case(person, model, alias)
    candidate = references.version(person, f"{model}/{version}")
    judged = case.judge(version, candidate)
    if case.body is None:
        person.kube.create(MODEL_ALIASES, person.namespace, requests.new_alias(case, version, person.kube.whoami(), ""))
    elif (patch := requests.promotion(case, version, person.kube.whoami(), "")) is not None:
        person.kube.patch(MODEL_ALIASES, person.namespace, case.name, patch)
    waits = "" if judged.allowed else cases.unmet(judged)
    return {"assay": {"alias": case.name, "version": version, "allowed": judged.allowed, "waitsFor": waits}}
