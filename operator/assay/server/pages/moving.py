"""Writes approvals, promotions and rollbacks: as the person, for what they saw, and only after a dry run.

A form has what its page showed. If any of it has changed, nothing is written, and the answer says what changed. The
write names the resource version that was compared, so that nothing can change in between either.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS, Resource
from assay.kube.errors import ApiError
from assay.queries.promotion import cases, requests, rights
from assay.queries.promotion.cases import Case
from assay.server.pages import alias, shown
from assay.server.pages.site import Page, Visit

_LONGEST = 2000
_CONFLICT = 409


@dataclass(frozen=True)
class Request:
    """A valid form: what to do, with which version, and why. ``confirmed``: its dry run was seen."""

    verb: str
    number: int
    comment: str
    seen: dict[str, Any]
    confirmed: bool


@dataclass(frozen=True)
class Write:
    """One write. ``name`` is "" for an object that is made."""

    resource: Resource
    name: str
    patch: Raw


def approve(visit: Visit) -> Page | Response:
    """Approve a version."""
    return _handled(visit, "approve", "approve", _approval)


def promote(visit: Visit) -> Page | Response:
    """Point the alias to a version."""
    return _handled(visit, "promote", "bind", _promotion)


def rollback(visit: Visit) -> Page | Response:
    """Roll the alias back to a version that was live."""
    return _handled(visit, "rollback", "rollback", _rollback)


def _handled(
    visit: Visit, verb: str, right: str, write: Callable[[Visit, Case, Raw, Request], Write]
) -> Page | Response:
    case, request = alias.case_of(visit), _request(visit, verb)
    rights.require(visit.person, right, case.view.model, case.view.alias)
    body = case.version(request.number)
    now = alias.seen(case, request.number, body)
    if changed := alias.differences(request.seen, now):
        return alias.page(visit, case, request.number, changed=changed, status=_CONFLICT)
    if body is None:
        raise ObjectNotFound(f"there is no version {request.number} of {case.view.model}")
    wanted = write(visit, case, body, request)
    try:
        written = _written(visit, wanted, dry_run=not request.confirmed)
    except ApiError as error:
        if error.status == _CONFLICT:
            return _conflict(visit, request)
        return alias.page(visit, case, request.number, refusal=error.message, status=error.status or 503)
    if request.confirmed:
        here = visit.link("models", case.view.model, "aliases", case.view.alias)
        return RedirectResponse(shown.query(here, [("version", request.number), ("done", verb)]), 303)
    return alias.page(visit, case, request.number, preview=_preview(case, request, wanted, written))


def _conflict(visit: Visit, request: Request) -> Page:
    """Read everything again: somebody wrote between the comparison and this write."""
    case = alias.case_of(visit)
    now = alias.seen(case, request.number, case.version(request.number))
    changed = alias.differences(request.seen, now) or ["the object was written by somebody else in this moment"]
    return alias.page(visit, case, request.number, changed=changed, status=_CONFLICT)


def _preview(case: Case, request: Request, wanted: Write, written: Raw) -> dict[str, Any]:
    """Return what the dry run says, and what would still be missing."""
    judged = None
    if request.verb == "approve":
        judged = case.judge(request.number, written)
    elif request.verb == "promote":
        judged = case.judge(request.number, case.version(request.number))
    return {
        "verb": request.verb,
        "comment": request.comment,
        "patch": json.dumps(_shown(wanted.patch), indent=1, ensure_ascii=False),
        "missing": cases.unmet(judged) if judged else "",
    }


def _shown(patch: Raw) -> Raw:
    metadata = {key: value for key, value in patch["metadata"].items() if key not in ("uid", "resourceVersion")}
    return {**patch, "metadata": metadata}


def _approval(visit: Visit, case: Case, body: Raw, request: Request) -> Write:
    kube, name = visit.person.kube, case.view.alias
    user = kube.whoami()
    known = requests.own_approval(body, name, user)
    key = requests.annotation_name(body, name, user, known["id"] if known else "")
    value = requests.approval_text(body, user, kube.groups(), request.comment)
    if (body["metadata"].get("annotations") or {}).get(key) == value:
        raise InvalidRequest(f"{user} has approved this already", hint="to renew an approval, give another comment")
    return Write(MODEL_VERSIONS, body["metadata"]["name"], _exact({"metadata": {"annotations": {key: value}}}, body))


def _promotion(visit: Visit, case: Case, _: Raw, request: Request) -> Write:
    user = visit.person.kube.whoami()
    if case.body is None:
        return Write(MODEL_ALIASES, "", requests.new_alias(case, request.number, user, request.comment))
    patch = requests.promotion(case, request.number, user, request.comment)
    if patch is None:
        raise InvalidRequest(f"v{request.number} is already requested for {case.name}")
    return Write(MODEL_ALIASES, case.name, _exact(patch, case.body))


def _rollback(visit: Visit, case: Case, body: Raw, request: Request) -> Write:
    if case.body is None:
        raise ObjectNotFound(f"there is no alias {case.name}")
    judged = case.judge_rollback(body)
    if not judged.allowed:
        raise InvalidRequest(f"cannot roll back {case.name}: {cases.unmet(judged)}")
    return Write(
        MODEL_ALIASES, case.name,
        _exact(requests.rollback(case.body, request.number, visit.person.kube.whoami(), request.comment), case.body),
    )  # fmt: skip


def _exact(patch: Raw, body: Raw) -> Raw:
    """Return a patch that only fits the object as it was read."""
    exact = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
    return {**patch, "metadata": {**patch["metadata"], **exact}}


def _written(visit: Visit, write: Write, *, dry_run: bool) -> Raw:
    kube, namespace = visit.person.kube, visit.namespace
    if not write.name:
        return kube.create(write.resource, namespace, write.patch, dry_run=dry_run)
    return kube.patch(write.resource, namespace, write.name, write.patch, dry_run=dry_run)


def _request(visit: Visit, verb: str) -> Request:
    number, comment = visit.form.get("version", ""), visit.form.get("comment", "").replace("\r\n", "\n")
    if not number.isdecimal() or len(number) > 10:
        raise InvalidRequest("the form has no version")
    if len(comment) > _LONGEST:
        raise InvalidRequest(f"the comment has more than {_LONGEST} characters")
    try:
        seen = json.loads(visit.form.get("seen", ""))
    except (ValueError, RecursionError):
        raise InvalidRequest("the form does not have what its page showed", hint="load the page again") from None
    if not isinstance(seen, dict):
        raise InvalidRequest("the form does not have what its page showed", hint="load the page again")
    return Request(verb, int(number), comment.strip(), seen, confirmed=visit.form.get("confirmed") == "1")
