r"""The two signed annotations, taken apart exactly as the admission policies compare them.

A policy compares the whole first line for equality. Whoever reads it differently opens a gap: only ``\n`` ends the
line (``str.splitlines`` knows ten more ends), nothing is stripped, and a username may hold spaces and anything else.
Nothing here decides whether an approval counts.
"""

import re
from dataclasses import dataclass

from assay.api import names

_KEY = re.compile(
    rf"(?P<alias>[a-z0-9]([-a-z0-9]{{0,38}}[a-z0-9])?){re.escape(names.APPROVAL_SUFFIX)}"
    r"(?P<id>[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
)
_DIGEST = re.compile(r"(?P<subject>sha256:[0-9a-f]{64}) (?P<user>[^\n]+)(\n(?P<comment>.*))?", re.DOTALL)
_VERSION = re.compile(r"(?P<subject>[1-9][0-9]{0,9}) (?P<user>[^\n]+)(\n(?P<comment>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Approval:
    """One approval: who has approved which digest for which alias, and what they said."""

    alias: str
    id: str
    digest: str
    approver: str
    comment: str


@dataclass(frozen=True)
class RollbackRequest:
    """A wish to go back: to which version, whose, and why."""

    version: int
    user: str
    reason: str


def read_approval(key: str, value: str) -> Approval | None:
    """Return the approval that an annotation of a ModelVersion is; None when it is none, or none that can be read."""
    name, said = _KEY.fullmatch(key), _DIGEST.fullmatch(value)
    if name is None or said is None:
        return None
    return Approval(name["alias"], name["id"], said["subject"], said["user"], said["comment"] or "")


def read_rollback(value: str) -> RollbackRequest | None:
    """Return what ``assay.dev/rollback-requested`` asks for; None when it cannot be read."""
    said = _VERSION.fullmatch(value)
    if said is None:
        return None
    return RollbackRequest(int(said["subject"]), said["user"], said["comment"] or "")
