"""The user: name and groups in the cluster, and the namespaces that they may see."""

from __future__ import annotations

from typing_extensions import TypedDict

from assay.api.resources import NAMESPACES
from assay.kube.errors import ApiError
from assay.server.api.operations import Call, Nothing, Operation


class Me(TypedDict):
    """The user, as the API server knows them. ``namespace`` is the default one."""

    user: str
    groups: list[str]
    namespace: str


class NamespaceList(TypedDict):
    """Namespaces, by name; only the default one if the user may not list namespaces."""

    items: list[str]
    notes: list[str]


def me(call: Call, _: Nothing) -> Me:
    """Return the user."""
    kube = call.person.kube
    return {"user": kube.whoami(), "groups": list(kube.groups()), "namespace": call.person.namespace}


def namespaces(call: Call, _: Nothing) -> NamespaceList:
    """Return the namespaces that the user may list."""
    person = call.person
    try:
        found = sorted(each["metadata"]["name"] for each in person.kube.list(NAMESPACES, ""))
    except ApiError as error:
        if error.status != 403:
            raise
        person.note("you may not list namespaces: type the name of yours")
        found = [person.namespace]
    return {"items": found, "notes": person.notes}


OPERATIONS = (
    Operation("me", "/me", "Who you are in the cluster.", me, Me),
    Operation("namespaces", "/namespaces", "List namespaces.", namespaces, NamespaceList),
)
