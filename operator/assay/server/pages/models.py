"""Models, their versions, and which version is live where."""

from __future__ import annotations

from assay.api import numbers
from assay.queries import models
from assay.queries.models import AliasState, Version
from assay.server.pages.site import Page, Visit

_VERSIONS = 200


def every(visit: Visit) -> Page:
    """List the models of the namespace with their aliases."""
    found = models.models_of(visit.person)
    values = {
        "models": found,
        "links": {each["model"]: visit.link("models", each["model"]) for each in found},
        "aliases": {each["model"]: _aliases(visit, each["model"], each["aliases"]) for each in found},
    }
    return Page("models.html", "Models", values, "models", live=True)


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
    }
    return Page("model.html", model, values, "models", live=True)


def _aliases(visit: Visit, model: str, states: list[AliasState]) -> list[dict[str, object]]:
    return [
        {**each, "link": visit.link("models", model, "aliases", each["alias"]), "waits": each["live"] != each["wanted"]}
        for each in states
    ]


def _row(visit: Visit, version: Version) -> dict[str, object]:
    run = version["run"]
    result = numbers.of_json(version["result"])
    return {**version, "link": visit.link("runs", run) if run else "", "shown": result}
