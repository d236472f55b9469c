"""What all events have in common: the form of a record, bounded to fit into one."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from assay.api.objects import Raw
from assay.store.audit import Action, AuditEvent, AuditObject

UNKNOWN = "unknown"
NOT_SEEN = "who did it is not known here; the API server's audit log knows"
#: Limit for each of ``before`` and ``after`` as JSON. Both together fit into a record.
MAX_STATE_BYTES = 100 << 10
_MAX_REASON = 2000
_MAX_ACTOR = 1024


def new_event(
    body: Raw,
    kind: str,
    action: Action,
    name: str,
    *,
    actor: str = UNKNOWN,
    digests: dict[str, str | None] | None = None,
    before: Raw | None = None,
    after: Raw | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> AuditEvent:
    """Return the event of an object. Texts and states are shortened to fit into a record."""
    metadata = body["metadata"]
    return AuditEvent(
        event=f"{metadata['uid']}/{name}",
        time=time_text(at) if at else "",
        actor=_actor(actor),
        action=action,
        object=AuditObject(kind=kind, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
        digests={what: digest for what, digest in (digests or {}).items() if digest},
        before=bounded(before),
        after=bounded(after),
        reason=reason if len(reason) <= _MAX_REASON else reason[: _MAX_REASON - 1] + "…",
    )


def bounded(state: Raw | None) -> Raw | None:
    """Return the state without None values. Size and sha256 replace the largest values until it fits into a record."""
    if state is None:
        return None
    found = {name: value for name, value in state.items() if value is not None}
    sizes = {name: len(_json(value)) for name, value in found.items()}
    while sum(sizes.values()) > MAX_STATE_BYTES:
        name = max(sizes, key=lambda each: sizes[each])
        data = _json(found[name])
        found[name] = {"leftOut": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        sizes[name] = len(_json(found[name]))
    return found


def _actor(name: str) -> str:
    """Return the name, shortened to fit into a record. A hash keeps long names distinct."""
    if len(name) <= _MAX_ACTOR:
        return name or UNKNOWN
    mark = "…sha256:" + hashlib.sha256(name.encode()).hexdigest()
    return name[: _MAX_ACTOR - len(mark)] + mark


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def short(text: str) -> str:
    """Return a short hash of a text, for the name of an event."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def time_text(moment: datetime) -> str:
    """Return a time in the form of records: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_of(version: Raw) -> str | None:
    """Return the digest of a version's artifact; None if it has none."""
    return (version["spec"].get("artifact") or {}).get("digest")


def label(body: Raw, name: str) -> str:
    """Return a label of an object; "" if it is missing."""
    return str((body["metadata"].get("labels") or {}).get(name, ""))


def transition(body: Raw, kind: str) -> str:
    """Return when a condition last changed; ``none`` if it is missing.

    It makes an event name unique, also across restarts.
    """
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((str(each["lastTransitionTime"]) for each in conditions if each["type"] == kind), "none")
