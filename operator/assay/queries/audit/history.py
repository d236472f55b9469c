"""What an alias has pointed to, according to the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from assay.api.errors import InvalidRequest
from assay.queries.access import Access
from assay.queries.audit import trail
from assay.store.audit import Binding
from assay.store.audit.queries import at, bindings, instant


def bindings_of(access: Access, model: str, alias: str, source: Path | None = None) -> list[Binding]:
    """Return the bindings of an alias, the oldest first. Raises AssayError, StoreError."""
    return bindings(trail.records(access, source), model, alias)


def binding_at(access: Access, model: str, alias: str, when: str, source: Path | None = None) -> Binding | None:
    """Return what an alias pointed to at a time, None for nothing. Raises AssayError, StoreError."""
    return at(trail.records(access, source), model, alias, _moment(when))


def _moment(text: str) -> datetime:
    try:
        found = instant(text)
    except ValueError:
        hint = "write it as 2026-03-14T14:05Z; without a zone it is in UTC"
        raise InvalidRequest(f"{text!r} is no time", hint=hint) from None
    return found.astimezone(UTC)
