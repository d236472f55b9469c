"""The versions that an alias pointed to, according to the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from assay.api.errors import InvalidRequest
from assay.queries.access import Access
from assay.queries.audit import trail
from assay.store.audit import Binding
from assay.store.audit.queries import at, bindings, instant


def bindings_of(access: Access, model: str, alias: str, source: Path | None = None) -> list[Binding]:
    """Return the bindings of an alias, oldest first. Raises AssayError, StoreError."""
    return bindings(trail.records(access, source), model, alias)


def bindings_of_model(access: Access, model: str) -> list[Binding]:
    """Return the bindings of all aliases that a model has or had, oldest first. Raises AssayError, StoreError."""
    records = list(trail.records(access, None))
    named = (each.object.name.rpartition(".") for each in records if each.object.kind == "ModelAlias")
    aliases = sorted({alias for of, _, alias in named if of == model})
    found = [each for alias in aliases for each in bindings(records, model, alias)]
    return sorted(found, key=lambda each: each.sequence)


def binding_at(access: Access, model: str, alias: str, when: str, source: Path | None = None) -> Binding | None:
    """Return the binding of an alias at a time, None if there was none. Raises AssayError, StoreError."""
    return at(trail.records(access, source), model, alias, _moment(when))


def _moment(text: str) -> datetime:
    try:
        found = instant(text)
    except ValueError:
        hint = "write it as 2026-03-14T14:05Z; without a zone it is UTC"
        raise InvalidRequest(f"invalid time {text!r}", hint=hint) from None
    return found.astimezone(UTC)
