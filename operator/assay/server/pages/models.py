"""Models, their versions, and which version is live where."""

from __future__ import annotations

from assay.api import numbers
from assay.api.errors import AssayError, ObjectNotFound
from assay.kube.errors import ApiError
from assay.queries import models, references
from assay.queries.audit import history
from assay.queries.audit import lineage as graphs
from assay.queries.models import AliasState, Version
from assay.server.pages import lineage
from assay.server.pages.site import Page, Visit
from assay.store.errors import StoreError

_VERSIONS, _BINDINGS = 200, 100


def every(visit: Visit) -> Page:
    """List the models of the namespace with their aliases."""
    found = models.models_of(visit.person)
    values = {
        "models": found,
        "links": {each["model"]: visit.link("models", each["model"]) for each in found},
        "aliases": {each["model"]: _aliases(visit, each["model"], each["aliases"]) for each in found},
    }
    return Page("models.html", "Models", values, "models", live=True, events=visit.events("models"))


def one(visit: Visit) -> Page:
    """Show the versions of one model, newest first."""
    model = visit.path["model"]
    states = models.states_of(visit.person, model)
    found = [models.version(body, states) for body in models.versions_of(visit.person, model)]
    values = {
        "model": model,
        "versions": [_row(visit, each) for each in found[:_VERSIONS]],
        "count": len(found),
        "aliases": _aliases(visit, model, states or []),
        "history": _history(visit, model),
    }
    return Page("model.html", model, values, "models", live=True, events=visit.events("models"))


def version(visit: Visit) -> Page:
    """Show one version: what it is, who approved it, where it comes from and where it is live."""
    model, number = visit.path["model"], visit.path["number"]
    name = references.version_name(f"{model}.v{number}")
    if name is None:
        raise ObjectNotFound(f"invalid name of a version {model}.v{number}")
    body = references.version(visit.person, name)
    found = models.version(body, models.states_of(visit.person, model))
    values = {
        "version": _row(visit, found),
        "message": (body.get("status") or {}).get("message") or "",
        "conditions": (body.get("status") or {}).get("conditions") or [],
        "model_link": visit.link("models", model),
        "picture": lineage.picture(graphs.around_version(visit.person, body), visit.namespace),
        "commands": [
            (f"assay pull {name} {name.replace('.', '-')} -n {visit.namespace}", "downloads and verifies the files"),
            (f"assay lineage {name} -n {visit.namespace}", "shows where it comes from"),
        ],
    }
    return Page("version.html", name, values, "models", live=True, events=visit.events("models"))


def _history(visit: Visit, model: str) -> list[dict[str, str]]:
    """Return what was live when under each alias of the model, newest first, as the audit trail has it."""
    try:
        found = history.bindings_of_model(visit.person, model)
    except (AssayError, ApiError, StoreError) as error:
        visit.person.note(f"the history is not shown: {error}")
        return []
    return [
        {
            "alias": each.alias,
            "version": f"v{each.version}",
            "since": each.since,
            "until": each.until,
            "by": each.by,
            "reason": each.reason,
        }
        for each in found[: -_BINDINGS - 1 : -1]
    ]


def _aliases(visit: Visit, model: str, states: list[AliasState]) -> list[dict[str, object]]:
    return [
        {
            **each,
            "link": visit.link("models", model, "aliases", each["alias"]),
            "waits": each["live"] != each["wanted"] and not each["setAside"],
        }
        for each in states
    ]


def _row(visit: Visit, version: Version) -> dict[str, object]:
    run = version["run"]
    result = numbers.of_json(version["result"])
    here = visit.link("models", version["model"], "versions", version["version"])
    return {**version, "here": here, "link": visit.link("runs", run) if run else "", "shown": result}
