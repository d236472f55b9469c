"""The audit trail of a namespace: its records, and the head that the operator keeps of it."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from pathlib import Path

import pydantic

from assay.api.errors import AssayError, InvalidRequest
from assay.api.resources import CONFIGMAPS
from assay.queries.access import Access
from assay.store.audit import AuditRecord, Head
from assay.store.audit.sources import Stored, read_export, read_store

#: Where the operator keeps the heads, and who may read them there.
HEADS, OPERATOR_NAMESPACE = "assay-audit-heads", "assay-system"


def files(access: Access, source: Path | None) -> Iterator[Stored]:
    """Return the trail of the access's namespace, from the store or from an export. Raises AssayError, StoreError."""
    if source is None:
        return read_store(access.trail_store, access.namespace)
    if not source.exists():
        raise InvalidRequest(f"there is no export {source}", hint="`assay audit export --to FILE` makes one")
    return read_export(source)


def records(access: Access, source: Path | None) -> Iterator[AuditRecord]:
    """Yield the records that can be read; what cannot is named, so that nobody takes the answer for the whole."""
    for file in files(access, source):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            access.note(f"left out: {file.name!r} is no record; `assay audit verify` says more")


def read_head(text: str) -> Head:
    """Return the end of a trail that was kept elsewhere, from SEQUENCE:SHA256 or @FILE. Raises AssayError."""
    try:
        return Head.parse(Path(text[1:]).read_text(encoding="ascii") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"--expect: {error}", hint="it is like 42:<sha256>, or @FILE") from None


def kept_head(access: Access) -> Head | None:
    """Return the end of the trail that the operator keeps, None where there is none, or none to be read."""
    try:
        found = access.kube.find(CONFIGMAPS, OPERATOR_NAMESPACE, HEADS)
        text = ((found or {}).get("data") or {}).get(access.namespace)
        return Head.parse(text) if text else None
    except (AssayError, ValueError, binascii.Error) as error:
        access.note(f"not compared with the head that the operator keeps: {error}")
        return None
