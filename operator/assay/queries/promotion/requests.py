"""The patches with which people approve, promote and roll back. Pure; the caller writes them, in the person's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from assay.api import names
from assay.api.approvals import RollbackRequest, groups_line, read_approval, rollback_text
from assay.api.errors import InvalidRequest
from assay.api.objects import Raw
from assay.planning.promotion import binding
from assay.queries import models
from assay.queries.models import Approval
from assay.queries.promotion.cases import Case

_LONGEST_ID = 63


def own_approval(body: Raw, alias: str, user: str) -> Approval | None:
    """Return the user's approval for an alias and the version's digest, or None."""
    given = (each for each in models.approvals(body, alias) if each["approver"] == user and each["valid"])
    return next(given, None)


def annotation_name(body: Raw, alias: str, user: str, identity: str = "") -> str:
    """Return the name of the annotation: with the given id, or with an unused one derived from the user's name."""
    if identity:
        name = f"{alias}{names.APPROVAL_SUFFIX}{identity}"
        if read_approval(name, f"sha256:{'0' * 64} {user}") is None:
            hint = "use at most 63 letters, digits, and -_. between them"
            raise InvalidRequest(f"invalid approval id {identity!r}", hint=hint)
        return name
    taken = {each["id"]: each["approver"] for each in models.approvals(body, alias)}
    made = next(each for each in _identities(user) if taken.get(each, user) == user)
    return f"{alias}{names.APPROVAL_SUFFIX}{made}"


def approval_text(body: Raw, user: str, groups: Collection[str], comment: str) -> str:
    """Return the value of the annotation: the digest, the user, the groups and the comment."""
    head = f"{body['spec']['artifact']['digest']} {user}"
    return "\n".join(filter(None, [head, groups_line(groups), comment]))


def rollback(body: Raw, version: int, user: str, comment: str) -> Raw:
    """Return the patch of a ModelAlias that requests a rollback."""
    text = rollback_text(RollbackRequest(version, user, comment, body["metadata"]["generation"]))
    return {"metadata": {"annotations": {names.ANNOTATION_ROLLBACK: text}}}


def promotion(case: Case, version: int, user: str, comment: str) -> Raw | None:
    """Return the patch that points an existing alias to a version, None if it requests that version already.

    If only a changed spec makes the operator try again, the reason changes.
    """
    body = case.body or {}
    request = {"version": version, "reason": _reason(case, body, version, comment)}
    if request == {key: body["spec"].get(key) for key in request}:
        return None
    return {"metadata": {"annotations": {names.ANNOTATION_MOVED_BY: user}}, "spec": request}


def new_alias(case: Case, version: int, user: str, comment: str) -> Raw:
    """Return a ModelAlias that does not exist yet."""
    spec = {"model": case.view.model, "alias": case.view.alias, "version": version}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_ALIAS,
        "metadata": {"name": case.name, "annotations": {names.ANNOTATION_MOVED_BY: user}},
        "spec": spec | ({"reason": comment} if comment else {}),
    }


def _reason(case: Case, body: Raw, version: int, comment: str) -> str | None:
    """Return the reason to write; it differs from the previous one if the same version is tried again."""
    before = body["spec"].get("reason")
    if binding.is_set_aside(case.status, version, body["metadata"]["generation"]):
        again = f"tried again at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return again if comment in ("", before) else comment
    return comment or (before if body["spec"]["version"] == version else None)


def _identities(user: str) -> Iterable[str]:
    """Yield ids for a user, the plain one first; different names may give the same plain id."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", user)[: _LONGEST_ID - 4].strip("-_.") or "approval"
    yield plain
    yield from (f"{plain}-{number}" for number in range(2, 1000))
