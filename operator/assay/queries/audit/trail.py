"""The audit trail of a namespace: its records, and the head that the operator stores in the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pydantic

from assay.api import names
from assay.api.errors import AssayError, InvalidRequest
from assay.api.resources import ADMISSION_POLICIES, CONFIGMAPS
from assay.queries.access import Access
from assay.signing.errors import SigningError
from assay.signing.keys import Keyring
from assay.store.audit import EMPTY, AuditRecord, Head
from assay.store.audit.signed import Checker, Signature
from assay.store.audit.sources import Stored, read_export, read_store

#: Sets the operator's namespace if the cluster does not tell it.
_NAMESPACE_VARIABLE = "ASSAY_OPERATOR_NAMESPACE"


def files(access: Access, source: Path | None) -> Iterator[Stored]:
    """Return the trail of the access's namespace, from the store or from an export. Raises AssayError, StoreError."""
    if source is None:
        return read_store(access.trail_store, access.namespace)
    if not source.exists():
        raise InvalidRequest(f"{source} does not exist", hint="`assay audit export --to FILE` creates an export")
    return read_export(source)


def records(access: Access, source: Path | None) -> Iterator[AuditRecord]:
    """Yield the valid records; note each invalid one, because the answer is incomplete without it."""
    for file in files(access, source):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            access.note(f"skipped {file.name!r}: it is not a record; `assay audit verify` checks the trail")


def read_head(text: str) -> Head:
    """Parse the head of a trail that was saved elsewhere: SEQUENCE:SHA256 or @FILE. Raises AssayError."""
    try:
        return Head.parse(Path(text[1:]).read_text(encoding="ascii") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"invalid --expect: {error}", hint="write 42:<sha256> or @FILE") from None


def stored_head(access: Access) -> Head | None:
    """Return the head that the operator stores in the cluster, None if it cannot be read, with a note why.

    It is EMPTY for a namespace without a head. Raises nothing.
    """
    namespace = operator_namespace(access)
    try:
        found = access.kube.find(CONFIGMAPS, namespace, names.AUDIT_HEADS)
        text = ((found or {}).get("data") or {}).get(access.namespace)
        head = Head.parse(text) if text else EMPTY
    except (AssayError, ValueError) as error:
        access.note(f"not compared with the operator's head: {error}")
        return None
    if found is None:
        access.note(
            f"not compared with the operator's head: namespace {namespace} has no ConfigMap {names.AUDIT_HEADS}"
        )
        return None
    return head


def operator_namespace(access: Access) -> str:
    """Return the operator's namespace: from the environment, from the cluster, or the default."""
    if named := os.environ.get(_NAMESPACE_VARIABLE, "").strip():
        return named
    try:
        policy = access.kube.find(ADMISSION_POLICIES, "", names.STATUS_POLICY) or {}
    except AssayError:
        policy = {}
    annotations = policy.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_OPERATOR_NAMESPACE) or names.DEFAULT_NAMESPACE)


def checker(keyring: Keyring) -> Checker:
    """Return a function that checks the signature of a record, and returns the problem or ""."""

    def check(signature: Signature, line: bytes) -> str:
        try:
            keyring.verify(signature.key, signature.value, line)
        except SigningError as error:
            return str(error)
        return ""

    return check
