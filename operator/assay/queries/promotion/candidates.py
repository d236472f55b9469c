"""A candidate for approval, compared with the live version, and the requirements of its policies."""

from __future__ import annotations

import math
from typing import Any, Literal

from typing_extensions import TypedDict

from assay.api import evidence
from assay.api.numbers import of_json
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.kube.errors import ApiError
from assay.queries import models
from assay.queries.access import Access
from assay.queries.models import Version
from assay.queries.promotion import cases
from assay.queries.promotion.cases import Case, Requirement

Direction = Literal["maximize", "minimize"]


class Metric(TypedDict):
    """The best value of the objective, or the latest of another metric. ``better``: None if unknown.

    Values that are not finite are the strings "NaN", "Infinity" and "-Infinity".
    """

    name: str
    value: Literal["best", "last"]
    candidate: float | str | None
    live: float | str | None
    change: float | None
    better: bool | None


class Parameter(TypedDict):
    """A parameter that differs, or any parameter if nothing is live. None: the version does not have it."""

    name: str
    candidate: Any
    live: Any


class Evidence(TypedDict):
    """One condition of the version."""

    condition: str
    status: str
    message: str


class Candidate(TypedDict):
    """A version, compared with the live version of the alias, if any; ``requirements`` are the current ones."""

    alias: str
    version: Version
    live: Version | None
    metrics: list[Metric]
    parameters: list[Parameter]
    evidence: list[Evidence]
    requirements: list[Requirement]
    warnings: list[str]


def describe(access: Access, body: Raw, alias: str, case: Case | None) -> Candidate:
    """Describe a candidate; without a case, only the version itself."""
    live_body = case.live if case else None
    requirements: list[Requirement] = []
    warnings: list[str] = []
    if case is not None:
        judged = case.judge(body["spec"]["version"], body)
        requirements = cases.requirements(judged, case.values(body), case.policies)
        warnings = list(judged.warnings)
    version = models.version(body, None)
    live = models.version(live_body, None) if live_body else None
    return {
        "alias": alias,
        "version": version,
        "live": live,
        "metrics": metrics(body, live_body, objective(access, body)),
        "parameters": parameters(version, live),
        "evidence": _evidence(body),
        "requirements": requirements,
        "warnings": warnings,
    }


def objective(access: Access, body: Raw) -> tuple[str, Direction] | None:
    """Return the objective and its direction: from the run, otherwise derived from the version's metrics."""
    run = body["spec"].get("run")
    try:
        found = access.kube.find(RUNS, access.namespace, run["name"]) if run else None
    except ApiError as error:
        if error.status != 403:
            raise
        found = None
    declared = (found or {}).get("spec", {}).get("objective")
    if run and found and declared and found["metadata"]["uid"] == run["uid"]:
        return declared["metric"], declared["direction"]
    return objective_of_summary(models.provenance(body).get("metrics") or {})


def objective_of_summary(metrics: Raw) -> tuple[str, Direction] | None:
    """Return the objective and its direction, if its best value is its largest or its smallest one."""
    name = models.objective_metric(metrics)
    summary = metrics[name] if name else {}
    if name is None or summary.get("min") == summary.get("max"):
        return None
    directions: dict[Any, Direction] = {summary.get("min"): "minimize", summary.get("max"): "maximize"}
    direction = directions.get(summary["best"])  # none for an objective that counts the last value
    return (name, direction) if direction else None


def metrics(body: Raw, live: Raw | None, objective: tuple[str, Direction] | None) -> list[Metric]:
    """Return the metrics of a version and of the live one, the objective first."""
    ours = models.provenance(body).get("metrics") or {}
    theirs = (models.provenance(live).get("metrics") or {}) if live else {}
    first, direction = objective or ("", None)
    found: list[Metric] = []
    for name in sorted({*ours, *theirs}, key=lambda name: (name != first, name)):
        value: Literal["best", "last"] = "best" if _is_best(name, first, ours) else "last"
        a, b = (ours.get(name) or {}).get(value), (theirs.get(name) or {}).get(value)
        change = _change(of_json(a), of_json(b))
        better = None if not change or name != first or direction is None else (change > 0) == (direction == "maximize")
        found.append({"name": name, "value": value, "candidate": a, "live": b, "change": change, "better": better})
    return found


def _change(a: float | None, b: float | None) -> float | None:
    """Return the difference of two finite values; None for others."""
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        return None
    return a - b


def _is_best(name: str, objective: str, metrics: Raw) -> bool:
    return name == objective and (metrics.get(name) or {}).get("best") is not None


def parameters(version: Version, live: Version | None) -> list[Parameter]:
    """Return the parameters that differ; all of them if nothing is live."""
    ours, theirs = version["parameters"], live["parameters"] if live else {}
    found: list[Parameter] = []
    for name in sorted({*ours, *theirs}):
        a, b = ours.get(name), theirs.get(name)
        if live is None or (a, type(a)) != (b, type(b)):
            found.append({"name": name, "candidate": a, "live": b})
    return found


def _evidence(body: Raw) -> list[Evidence]:
    known = {each["type"]: each for each in (body.get("status") or {}).get("conditions") or []}
    return [
        {
            "condition": kind,
            "status": known[kind]["status"] if kind in known else "Unknown",
            "message": known[kind].get("message") or "" if kind in known else "",
        }
        for kind in evidence.CONDITIONS
    ]
