"""One alias: what is live, what waits and why, what an approver compares, and the forms that move it."""

from __future__ import annotations

import json
from typing import Any

from assay.api.errors import AssayError, InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.kube.errors import ApiError
from assay.queries import models, references
from assay.queries.audit import history
from assay.queries.promotion import candidates, rights, why
from assay.queries.promotion.cases import Case
from assay.server.pages.site import Page, Visit
from assay.store.errors import StoreError

_BINDINGS = 50
_DONE = {
    "approve": "The approval was written.",
    "promote": "The version was requested. The operator moves the alias once all requirements are met.",
    "rollback": "The rollback was requested.",
}


def one(visit: Visit) -> Page:
    """Show an alias; ``version`` is the one to judge, by default the requested one."""
    case = case_of(visit)
    number = version_of(visit.query.get("version", ""), case)
    return page(visit, case, number, done=_DONE.get(visit.query.get("done", ""), ""))


def case_of(visit: Visit) -> Case:
    """Return the alias of the address. Raises ObjectNotFound if its name is invalid."""
    model, alias = visit.path["model"], visit.path["alias"]
    if references.alias_name(f"{model}.{alias}") is None:
        raise ObjectNotFound(f"invalid alias name {model}.{alias}")
    return Case(visit.person, model, alias)


def version_of(text: str, case: Case) -> int:
    """Return the number of a version, by default the requested one. Raises AssayError."""
    if not text:
        if case.body is None:
            raise ObjectNotFound(f"there is no alias {case.name}", hint="choose a version of the model first")
        return int(case.body["spec"]["version"])
    if not text.isdecimal() or len(text) > 10:
        raise InvalidRequest(f"invalid version {text[:50]!r}")
    return int(text)


def page(
    visit: Visit, case: Case, number: int, *, done: str = "", changed: list[str] | None = None, refusal: str = "",
    preview: dict[str, Any] | None = None, status: int = 200,
) -> Page:  # fmt: skip
    """Return the page of an alias and one of its versions, with the outcome of a form, if any."""
    body = case.version(number)
    candidate = candidates.describe(visit.person, body, case.view.alias, case) if body else None
    here = visit.link("models", case.view.model, "aliases", case.view.alias)
    values = {
        "model": case.view.model,
        "alias": case.view.alias,
        "number": number,
        "why": why.answer(case, number),
        "candidate": candidate,
        "requested": case.body["spec"]["version"] if case.body else None,
        "previous": case.status.previous_version,
        "may": _may(visit, case) if body and not preview else {},
        "seen": json.dumps(seen(case, number, body), sort_keys=True) if body else "",
        "here": here,
        "model_link": visit.link("models", case.view.model),
        "versions": sorted({each["spec"]["version"] for each in _versions(visit, case)}, reverse=True)[:100],
        "history": [] if preview else _history(visit, case),
        "done": done,
        "changed": changed or [],
        "refusal": refusal,
        "preview": preview,
    }
    for note in case.notes:
        visit.person.note(note)
    events = "" if preview else visit.events("models")
    title = f"{case.view.model}.{case.view.alias}"
    return Page("alias.html", title, values, "models", status, live=not preview, events=events)


def seen(case: Case, number: int, body: Raw | None) -> dict[str, Any]:
    """Return what a person who decides has before their eyes. A form is refused if any of it has changed."""
    found: dict[str, Any] = {
        "live version": case.status.bound_version,
        "requested version": case.body["spec"]["version"] if case.body else None,
        f"v{number}": "there" if body else "gone",
    }
    if body is None:
        return found
    found |= {"digest": body["spec"]["artifact"]["digest"], "UID": body["metadata"]["uid"], "phase": models.phase(body)}
    for each in models.approvals(body, case.view.alias):
        found[f"approval {each['id']}"] = f"{each['approver']} ({'valid' if each['valid'] else 'for another digest'})"
    for each in (body.get("status") or {}).get("conditions") or []:
        found[f"condition {each['type']}"] = each["status"]
    judged = case.judge(number, body)
    for need in judged.requirements:
        found[f"requirement {' '.join(filter(None, (need.policy, need.requirement)))}"] = "met" if need.met else "unmet"
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return each fact that changed, in words."""
    found = []
    for name in sorted({*before, *now}):
        a, b = before.get(name), now.get(name)
        if a != b:
            found.append(f"{name}: {'none' if a is None else a} → {'none' if b is None else b}")
    return found


def _versions(visit: Visit, case: Case) -> list[Raw]:
    try:
        return models.versions_of(visit.person.directly(), case.view.model)
    except ObjectNotFound:
        return []


def _may(visit: Visit, case: Case) -> dict[str, str]:
    """Return why the user may not use a verb, by verb; "" if they may."""
    found = {}
    for verb in ("approve", "bind", "rollback"):
        try:
            rights.require(visit.person, verb, case.view.model, case.view.alias)
            found[verb] = ""
        except AssayError as error:
            found[verb] = f"{error.message} ({error.hint})" if error.hint else error.message
    return found


def _history(visit: Visit, case: Case) -> list[dict[str, Any]]:
    """Return what was live when, newest first: from the audit trail, otherwise from the alias itself."""
    try:
        found = history.bindings_of(visit.person, case.view.model, case.view.alias)
    except (AssayError, ApiError, StoreError) as error:
        visit.person.note(f"the history is not from the audit trail: {error}")
        found = []
    if found:
        return [
            {"version": each.version, "since": each.since, "until": each.until, "by": each.by, "reason": each.reason,
             "approvers": ", ".join(dict.fromkeys(approval.approver for approval in each.approvals))}
            for each in found[: -_BINDINGS - 1 : -1]
        ]  # fmt: skip
    return [
        {"version": each.version, "since": f"{each.from_:%Y-%m-%dT%H:%M:%SZ}",
         "until": f"{each.to:%Y-%m-%dT%H:%M:%SZ}" if each.to else "",
         "by": each.actor or "", "reason": each.reason or "", "approvers": ""}
        for each in reversed(case.status.history[-_BINDINGS:])
    ]  # fmt: skip
