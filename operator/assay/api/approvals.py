r"""Parses the annotations for approvals and rollback requests exactly as the admission policies compare them.

A policy compares the whole first line for equality. A parser that differs would open a security gap: only ``\n`` ends
the line (``str.splitlines`` accepts ten more line ends), nothing is stripped, and a username may contain spaces and any
other character. A second line that begins with `groups: ` names the groups under which the API server knew the
approver; the policies refuse any other groups. The second line `generation: <number>` of a rollback request is the
generation of the alias at the request, also held by the policies. Nothing here decides whether an approval counts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from assay.api import names

_KEY = re.compile(
    rf"(?P<alias>[a-z0-9]([-a-z0-9]{{0,38}}[a-z0-9])?){re.escape(names.APPROVAL_SUFFIX)}"
    r"(?P<id>[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
)
_GROUPS = "groups: "
_EVERYBODY = "system:authenticated"
_MAX_GROUPS = 2048
_DIGEST = re.compile(r"(?P<subject>sha256:[0-9a-f]{64}) (?P<user>[^\n]+)(\n(?P<comment>.*))?", re.DOTALL)
_VERSION = re.compile(
    r"(?P<subject>[1-9][0-9]{0,9}) (?P<user>[^\n]+)"
    r"(\ngeneration: (?P<generation>[1-9][0-9]{0,18}))?(\n(?P<comment>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Approval:
    """One approval: who has approved which digest for which alias, and what they said."""

    alias: str
    id: str
    digest: str
    approver: str
    comment: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class RollbackRequest:
    """A wish to go back: to which version, whose, and why.

    ``generation`` is that of the alias at the request: a newer generation was written later. None if the API server
    did not fill it in and the user did not give it.
    """

    version: int
    user: str
    reason: str
    generation: int | None = None


def read_approval(key: str, value: str) -> Approval | None:
    """Return the approval that an annotation of a ModelVersion is; None when it is none, or none that can be read."""
    name, said = _KEY.fullmatch(key), _DIGEST.fullmatch(value)
    if name is None or said is None:
        return None
    groups, comment = _groups(said["comment"] or "")
    return Approval(name["alias"], name["id"], said["subject"], said["user"], comment, groups)


def _groups(text: str) -> tuple[tuple[str, ...], str]:
    """Return the groups that a first line names, and what comes after it."""
    if not text.startswith(_GROUPS):
        return (), text
    line, _, comment = text.partition("\n")
    return tuple(filter(None, line.removeprefix(_GROUPS).split(","))), comment


def groups_line(groups: Iterable[str]) -> str:
    """Return the second line of an approval by somebody in these groups; "" when there is nothing to name.

    As the policies have it: a group with a comma or line feed in its name could pass for two, and is left out. So are
    all of them when they would take too much room.
    """
    named = ",".join(each for each in groups if each != _EVERYBODY and "," not in each and "\n" not in each)
    return f"{_GROUPS}{named}" if 0 < len(named.encode()) <= _MAX_GROUPS else ""


def read_rollback(value: str) -> RollbackRequest | None:
    """Return what ``assay.dev/rollback-requested`` asks for; None when it cannot be read."""
    said = _VERSION.fullmatch(value)
    if said is None:
        return None
    generation = int(said["generation"]) if said["generation"] else None
    return RollbackRequest(int(said["subject"]), said["user"], said["comment"] or "", generation)


def rollback_text(request: RollbackRequest) -> str:
    """Return the value of ``assay.dev/rollback-requested``."""
    generation = "" if request.generation is None else f"generation: {request.generation}"
    return "\n".join(filter(None, [f"{request.version} {request.user}", generation, request.reason]))
