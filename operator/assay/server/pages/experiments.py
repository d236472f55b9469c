"""Experiments: what runs, the best result so far, and when it will end."""

from __future__ import annotations

import time

from assay.api import names
from assay.api.resources import EXPERIMENTS, RUNS
from assay.api.run_status import TERMINAL
from assay.queries import references
from assay.queries.runs import experiments, importance
from assay.queries.runs import rows as run_rows
from assay.server.api.experiments import row
from assay.server.pages import parts, shown
from assay.server.pages.site import Page, Visit

_MOST = 200


def every(visit: Visit) -> Page:
    """List the experiments of the namespace, newest first."""
    found = [row(body) for body in visit.person.objects(EXPERIMENTS)]
    found.sort(key=lambda each: each["created"], reverse=True)
    items = [
        {**each, "link": visit.link("experiments", each["name"]), "total": each["runs"].get("total", 0),
         "finished": each["runs"].get("succeeded", 0) + each["runs"].get("failed", 0)}
        for each in found[:_MOST]
    ]  # fmt: skip
    running = any(each["phase"] not in TERMINAL for each in found)
    values = {"items": items, "count": len(found)}
    events = visit.events("experiments")
    return Page("experiments.html", "Experiments", values, "experiments", live=running, events=events)


def one(visit: Visit) -> Page:
    """Show one experiment and its progress."""
    person, name = visit.person, visit.path["experiment"]
    body = references.experiment(person, name)
    runs = list(person.kube.list(RUNS, person.namespace, labels=f"{names.LABEL_EXPERIMENT}={name}"))
    view = experiments.view(body, {run["metadata"]["name"]: run for run in runs}, time.time())
    spec, best = body["spec"], view.best
    table = [run_rows.of_run(run) for run in runs]
    minimized = (spec.get("objective") or {}).get("direction") == "minimize"
    values = {
        "view": view,
        "row": row(body),
        "best_link": visit.link("runs", best["run"]) if best.get("run") else "",
        "importance": parts.attempt(visit, lambda: importance.importances(table, view.metric, minimized=minimized))
        if visit.query.get("explain")
        else None,
        "explain": shown.query(visit.link("experiments", name), [("explain", "1")]) if view.metric and table else "",
        "search": (spec.get("search") or {}).get("strategy", "grid"),
        "parallelism": spec.get("parallelism"),
        "runs": shown.query(visit.link("runs"), [("experiment", name), ("sort", view.metric)]),
        "links": {each.name: visit.link("runs", each.name) for each in view.active},
    }
    events = visit.events("experiments", ("experiment", name))
    return Page("experiment.html", name, values, "experiments", live=view.phase not in TERMINAL, events=events)
