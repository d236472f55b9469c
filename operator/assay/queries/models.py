"""Answers about models and versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import TypedDict

from assay.api import names
from assay.api.approvals import read_approval
from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw, is_archived, is_true
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS
from assay.kube.errors import ApiError
from assay.queries import references
from assay.queries.access import Access


class Approval(TypedDict):
    """One approval of a version. ``valid``: it is for the version's digest."""

    alias: str
    approver: str
    id: str
    comment: str
    valid: bool


class Version(TypedDict):
    """One version. It is live under ``aliases`` and requested by ``wantedBy``; ``metrics`` has the latest values.

    ``objective`` is the metric of the objective, ``result`` its best value; None if unknown.
    """

    name: str
    model: str
    version: int
    phase: str
    aliases: list[str]
    wantedBy: list[str]
    objective: str | None
    result: float | None
    metrics: dict[str, float | str]
    parameters: dict[str, Any]
    run: str | None
    experiment: str | None
    owner: str | None
    approvals: list[Approval]
    created: str
    registered: str | None
    digest: str
    bytes: int | None
    signed: bool
    reproducible: bool


class AliasState(TypedDict):
    """One alias: the live version (None if nothing is bound) and the requested one.

    ``setAside``: the alias was rolled back from the requested version, so it does not wait for it.
    """

    alias: str
    phase: str
    live: int | None
    wanted: int
    setAside: bool


class Model(TypedDict):
    """One model: the number of versions that are not archived, the newest one its creation time, and the aliases."""

    model: str
    versions: int
    latest: int | None
    created: str | None
    aliases: list[AliasState]


def version(body: Raw, aliases: Sequence[AliasState] | None) -> Version:
    """Return the answer about a ModelVersion. ``aliases`` are those of its model, None if unreadable."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    run, number = spec.get("run") or {}, spec["version"]
    made_from = provenance(body)
    metrics = made_from.get("metrics") or {}
    objective = objective_metric(metrics)
    if aliases is None:
        live, requested = list(status.get("aliases") or []), []
    else:
        live = [each["alias"] for each in aliases if each["live"] == number]
        waiting = [each for each in aliases if each["live"] != each["wanted"] and not each["setAside"]]
        requested = [each["alias"] for each in waiting if each["wanted"] == number]
    return {
        "name": metadata["name"],
        "model": spec["model"],
        "version": number,
        "phase": phase(body),
        "aliases": live,
        "wantedBy": requested,
        "objective": objective,
        "result": metrics[objective]["best"] if objective else None,
        "metrics": {name: summary["last"] for name, summary in metrics.items()},
        "parameters": made_from.get("parameters") or {},
        "run": run.get("name"),
        "experiment": run.get("experiment"),
        "owner": spec.get("owner"),
        "approvals": approvals(body),
        "created": metadata["creationTimestamp"],
        "registered": status.get("registered"),
        "digest": spec["artifact"]["digest"],
        "bytes": (status.get("artifact") or {}).get("bytes", spec["artifact"].get("size")),
        "signed": is_true(body, names.SIGNED),
        "reproducible": is_true(body, names.REPRODUCIBLE),
    }


def versions_of(access: Access, model: str) -> list[Raw]:
    """Return the ModelVersions of a model, newest first. Raises AssayError if there are none."""
    found = list(access.objects(MODEL_VERSIONS, f"spec.model={model}"))
    if not found:
        known = {each["spec"]["model"] for each in access.objects(MODEL_VERSIONS)}
        hint = references.near(model, known) or "`assay models` lists the models"
        raise ObjectNotFound(f"namespace {access.namespace} has no versions of model {model}", hint=hint)
    return sorted(found, key=lambda body: -int(body["spec"]["version"]))


def models_of(access: Access) -> list[Model]:
    """Return the models of the namespace, by name. Raises AssayError."""
    return models(access.objects(MODEL_VERSIONS), access.objects(MODEL_ALIASES))


def states_of(access: Access, model: str) -> list[AliasState] | None:
    """Return the aliases of a model, None if the user may not read them. Raises AssayError."""
    try:
        return [alias_state(body) for body in access.objects(MODEL_ALIASES, f"spec.model={model}")]
    except ApiError as error:
        if error.status != 403:
            raise
        access.note("you may not list ModelAliases here, so requested versions are not shown")
        return None


def alias_state(body: Raw) -> AliasState:
    """Return the live and the requested version of a ModelAlias."""
    status = body.get("status") or {}
    spec = body["spec"]
    left = status.get("setAside") or {}
    return {
        "alias": spec["alias"],
        "phase": status.get("phase") or "Pending",
        "live": status.get("boundVersion"),
        "wanted": spec["version"],
        "setAside": (left.get("version"), left.get("generation"))
        == (spec["version"], body["metadata"].get("generation")),
    }


def models(versions: Iterable[Raw], aliases: Iterable[Raw]) -> list[Model]:
    """Return the models that have versions or aliases, by name."""
    found: dict[str, list[Raw]] = {}
    states: dict[str, list[AliasState]] = {}
    for body in versions:
        found.setdefault(body["spec"]["model"], []).append(body)
    for body in aliases:
        states.setdefault(body["spec"]["model"], []).append(alias_state(body))
    answers = []
    for model in sorted({*found, *states}):
        shown = [body for body in found.get(model, []) if not is_archived(body)]
        newest = max(shown, key=lambda body: int(body["spec"]["version"]), default=None)
        answers.append(
            Model(
                model=model,
                versions=len(shown),
                latest=newest["spec"]["version"] if newest else None,
                created=newest["metadata"]["creationTimestamp"] if newest else None,
                aliases=sorted(states.get(model, []), key=lambda state: state["alias"]),
            )
        )
    return answers


def approvals(body: Raw, alias: str = "") -> list[Approval]:
    """Return the well-formed approvals of a ModelVersion, for one alias or for all."""
    found: list[Approval] = []
    for key, value in sorted((body["metadata"].get("annotations") or {}).items()):
        approval = read_approval(key, value)
        if approval is not None and alias in ("", approval.alias):
            valid = approval.digest == body["spec"]["artifact"]["digest"]
            found.append(
                {
                    "alias": approval.alias,
                    "approver": approval.approver,
                    "id": approval.id,
                    "comment": approval.comment,
                    "valid": valid,
                }
            )
    return found


def provenance(body: Raw) -> Raw:
    """Return the provenance of a ModelVersion: from its run, otherwise as its manifest claims."""
    return (body.get("status") or {}).get("provenance") or body["spec"].get("provenance") or {}


def objective_metric(metrics: Raw) -> str | None:
    """Return the metric of the objective: the only one with a best value."""
    known = [name for name, summary in metrics.items() if summary.get("best") is not None]
    return known[0] if len(known) == 1 else None


def phase(body: Raw) -> str:
    """Return the phase of a ModelVersion, Pending before the operator sets one."""
    return str((body.get("status") or {}).get("phase") or "Pending")
