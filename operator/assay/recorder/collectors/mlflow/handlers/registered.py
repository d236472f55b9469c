"""The registry as the script sees it: registered models, versions and aliases of this pod.

Nothing is registered here. Each version is a request, which the operator may register after the run has succeeded, with
the checks that every registration has. An alias is a wish: only the gate moves aliases.
"""

from __future__ import annotations

from typing import Any

from assay.recorder.collectors.mlflow import answers, checks, limits
from assay.recorder.collectors.mlflow.entities import Raw, Registered, Version
from assay.recorder.collectors.mlflow.errors import exists, invalid, missing
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route, paged, strings
from assay.recorder.collectors.mlflow.queries import matching, ordered, page

_PROMPT = "mlflow.prompt.is_prompt"
_STAGES = ("None", "Staging", "Production", "Archived")


async def create(call: Call) -> Raw:
    """Request a registered model."""
    name = checks.model_name(call.body.get("name"))
    if name in call.tracking.state.registered:
        raise exists(f"Registered Model (name={name}) already exists.")
    _commit(call, op="register", name=name, description=_description(call), tags=_tags(call))
    return _answer(call.tracking.state.registered[name])


async def get(call: Call) -> Raw:
    """Return a registered model."""
    return _answer(_model(call))


async def search(call: Call) -> Raw:
    """Search registered models."""
    found = matching(call.tracking.state.registered.values(), call.body.get("filter"), _lookup)
    orders = strings(call.body.get("order_by"), "order_by")
    size = checks.page_size(call.body, 100, limits.SEARCH_PAGE)
    rows, token = page(ordered(found, [*orders, "name ASC"], _lookup), call.body.get("page_token"), size)
    return paged("registered_models", map(answers.registered, rows), token)


async def rename(call: Call) -> Raw:
    """Rename a registered model."""
    found, new = _model(call), checks.model_name(call.body.get("new_name"), "new_name")
    if new in call.tracking.state.registered:
        raise exists(f"Registered Model (name={new}) already exists.")
    _commit(call, op="register_rename", name=found.name, to=new)
    return _answer(call.tracking.state.registered[new])


async def update(call: Call) -> Raw:
    """Change the description."""
    found = _model(call)
    _commit(call, op="register_update", name=found.name, description=_description(call))
    return _answer(found)


async def delete(call: Call) -> Raw:
    """Withdraw the request."""
    _commit(call, op="register_delete", name=_model(call).name)
    return {}


async def set_tag(call: Call) -> Raw:
    """Set a tag."""
    key, value = checks.tag(call.body, most=limits.REGISTRY_TAG_CHARS)
    _commit(call, op="register_update", name=_model(call).name, tags={key: value})
    return {}


async def delete_tag(call: Call) -> Raw:
    """Remove a tag."""
    _commit(call, op="register_update", name=_model(call).name, tags={checks.required(call.body, "key"): None})
    return {}


async def set_alias(call: Call) -> Raw:
    """Request an alias."""
    version = _version(call)
    alias = checks.alias(call.body.get("alias"))
    _commit(call, op="register_update", name=version.name, aliases={alias: version.number})
    return {}


async def delete_alias(call: Call) -> Raw:
    """Withdraw the request for an alias."""
    alias = checks.required(call.body, "alias")
    _commit(call, op="register_update", name=_model(call).name, aliases={alias: None})
    return {}


async def get_alias(call: Call) -> Raw:
    """Return the version for which an alias was requested."""
    found, alias = _model(call), checks.required(call.body, "alias")
    number = found.aliases.get(alias)
    if number is None:
        raise invalid(f"Registered model alias {alias[:300]} not found.")
    return {"model_version": answers.version(found.versions[number], found)}


async def latest(call: Call) -> Raw:
    """Return the newest version of each stage."""
    found = _model(call)
    wanted = strings(call.body.get("stages"), "stages")
    newest = {version.stage: version for _, version in sorted(found.versions.items())}
    chosen = [version for stage, version in newest.items() if not wanted or stage in wanted]
    return {"model_versions": [answers.version(version, found) for version in chosen]}


async def create_version(call: Call) -> Raw:
    """Request a version. Only a model that is an artifact of this pod can be registered."""
    found, body = _model(call), call.body
    model = checks.text(body.get("model_id") or "", "model_id")
    logged = call.tracking.state.models.get(model)
    run = checks.text(body.get("run_id") or (logged.run if logged else ""), "run_id")
    _commit(
        call,
        op="version",
        name=found.name,
        source=checks.length(checks.required(body, "source"), 2048, "source"),
        run=run,
        model=model,
        run_link=checks.text(body.get("run_link") or "", "run_link"),
        description=_description(call),
        tags=_tags(call),
    )
    return _answer_version(found, found.versions[found.numbered])


async def get_version(call: Call) -> Raw:
    """Return a version."""
    return _answer_version(_model(call), _version(call))


async def search_versions(call: Call) -> Raw:
    """Search versions."""
    everything = [v for model in call.tracking.state.registered.values() for v in model.versions.values()]
    found = matching(everything, call.body.get("filter"), _lookup_version)
    orders = strings(call.body.get("order_by"), "order_by")
    found = ordered(found, [*orders, "last_updated_timestamp DESC", "name ASC", "version_number DESC"], _lookup_version)
    size = checks.page_size(call.body, limits.SEARCH_PAGE, limits.SEARCH_MOST)
    rows, token = page(found, call.body.get("page_token"), size)
    owners = call.tracking.state.registered
    return paged("model_versions", (answers.version(each, owners[each.name]) for each in rows), token)


async def update_version(call: Call) -> Raw:
    """Change the description."""
    version = _version(call)
    _commit(call, op="version_update", **_key(version), description=_description(call))
    return _answer_version(_model(call), version)


async def delete_version(call: Call) -> Raw:
    """Withdraw the request for a version."""
    _commit(call, op="version_delete", **_key(_version(call)))
    return {}


async def stage(call: Call) -> Raw:
    """Note a stage. Stages move nothing in Assay."""
    version = _version(call)
    wanted = next((each for each in _STAGES if each.lower() == str(call.body.get("stage")).lower()), None)
    if wanted is None:
        raise invalid(
            f"Invalid Model Version stage: {str(call.body.get('stage'))[:100]}. Value must be one of {_STAGES}."
        )
    _commit(call, op="version_update", **_key(version), stage=wanted)
    return _answer_version(_model(call), version)


async def download_uri(call: Call) -> Raw:
    """Return where the files of a version are."""
    return {"artifact_uri": _version(call).source}


async def set_version_tag(call: Call) -> Raw:
    """Set a tag."""
    key, value = checks.tag(call.body, most=limits.REGISTRY_TAG_CHARS)
    _commit(call, op="version_update", **_key(_version(call)), tags={key: value})
    return {}


async def delete_version_tag(call: Call) -> Raw:
    """Remove a tag."""
    tags = {checks.required(call.body, "key"): None}
    _commit(call, op="version_update", **_key(_version(call)), tags=tags)
    return {}


def _commit(call: Call, **entry: Any) -> None:
    call.tracking.commit(entry | {"time": call.tracking.now()})


def _model(call: Call) -> Registered:
    name = checks.required(call.body, "name")
    found = call.tracking.state.registered.get(name)
    if found is None:
        raise missing(f"Registered Model with name={name[:300]} not found")
    return found


def _version(call: Call) -> Version:
    found = _model(call)
    number = checks.required(call.body, "version")
    if not number.isdecimal():
        raise invalid(f"Parameter 'version' must be an integer, got '{number[:100]}'.")
    version = found.versions.get(int(number[:9]))
    if version is None:
        raise missing(f"Model Version (name={found.name}, version={number[:100]}) not found")
    return version


def _key(version: Version) -> Raw:
    return {"name": version.name, "version": version.number}


def _description(call: Call) -> str:
    return checks.length(checks.text(call.body.get("description") or "", "description"), 5000, "description")


def _tags(call: Call) -> dict[str, str]:
    return checks.tags(call.body, limits.REGISTRY_TAG_CHARS)


def _answer(found: Registered) -> Raw:
    return {"registered_model": answers.registered(found)}


def _answer_version(owner: Registered, found: Version) -> Raw:
    return {"model_version": answers.version(found, owner)}


def _lookup(found: Registered, kind: str, key: str) -> Any:
    if kind == "tags":
        # Clients leave prompts out of every search, by a condition that a missing tag has to meet.
        return found.tags.get(key, "false" if key == _PROMPT else None)
    values: Raw = {"name": found.name, "last_updated_timestamp": found.updated, "creation_timestamp": found.created}
    if key == "timestamp":
        return found.updated
    if key not in values:
        raise invalid(f"Invalid attribute name: {key[:300]}. Valid names are {sorted(values)}")
    return values[key]


def _lookup_version(found: Version, kind: str, key: str) -> Any:
    if kind == "tags":
        return found.tags.get(key)
    values: Raw = {
        "name": found.name,
        "version_number": found.number,
        "run_id": found.run,
        "source_path": found.source,
        "last_updated_timestamp": found.updated,
        "creation_timestamp": found.created,
    }
    if key not in values:
        raise invalid(f"Invalid attribute name: {key[:300]}. Valid names are {sorted(values)}")
    return values[key]


ROUTES = (
    Route("POST", "/mlflow/registered-models/create", create),
    Route("GET", "/mlflow/registered-models/get", get),
    Route("GET", "/mlflow/registered-models/search", search),
    Route("POST", "/mlflow/registered-models/rename", rename),
    Route("PATCH", "/mlflow/registered-models/update", update),
    Route("DELETE", "/mlflow/registered-models/delete", delete),
    Route("POST", "/mlflow/registered-models/set-tag", set_tag),
    Route("DELETE", "/mlflow/registered-models/delete-tag", delete_tag),
    Route("POST", "/mlflow/registered-models/alias", set_alias),
    Route("DELETE", "/mlflow/registered-models/alias", delete_alias),
    Route("GET", "/mlflow/registered-models/alias", get_alias),
    Route("POST", "/mlflow/registered-models/get-latest-versions", latest),
    Route("GET", "/mlflow/registered-models/get-latest-versions", latest),
    Route("POST", "/mlflow/model-versions/create", create_version),
    Route("GET", "/mlflow/model-versions/get", get_version),
    Route("GET", "/mlflow/model-versions/search", search_versions),
    Route("PATCH", "/mlflow/model-versions/update", update_version),
    Route("DELETE", "/mlflow/model-versions/delete", delete_version),
    Route("POST", "/mlflow/model-versions/transition-stage", stage),
    Route("GET", "/mlflow/model-versions/get-download-uri", download_uri),
    Route("POST", "/mlflow/model-versions/set-tag", set_version_tag),
    Route("DELETE", "/mlflow/model-versions/delete-tag", delete_version_tag),
)
