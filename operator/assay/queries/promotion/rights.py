"""Checks that the user has one of Assay's own verbs, before anything is shown or written."""

from __future__ import annotations

from assay.api import names
from assay.api.errors import PermissionDenied
from assay.queries.access import Access

#: The chart's role that grants a verb.
_ROLES = {"approve": "assay-approver", "bind": "assay-release-manager", "rollback": "assay-release-manager"}


def may(access: Access, verb: str, model: str, alias: str) -> bool:
    """Whether the user has a verb on an alias, for all models or for this one. Raises ApiError."""
    return any(
        access.kube.can(verb, names.GROUP, names.VIRTUAL_ALIASES, access.namespace, name)
        for name in (alias, f"{model}.{alias}")
    )


def require(access: Access, verb: str, model: str, alias: str) -> None:
    """Raise AssayError, with a hint who can grant it, if the user does not have the verb."""
    if may(access, verb, model, alias):
        return
    role = f"bind the ClusterRole {_ROLES[verb]}, or a Role" if verb in _ROLES else "write a Role"
    raise PermissionDenied(
        f"{access.kube.whoami()} may not {verb} for {alias} in namespace {access.namespace}: this requires the verb "
        f"{verb} on aliases.assay.dev, resourceName {alias} or {model}.{alias}",
        hint=f"whoever manages RBAC there can {role} with that verb (docs/personas.md)",
    )
