"""The audit trail of a namespace: its records, and the head that the operator keeps of it."""

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

#: Names the operator's namespace where the cluster does not.
_NAMESPACE_VARIABLE = "ASSAY_OPERATOR_NAMESPACE"


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
    """Return the end of the trail that the operator keeps, None where none can be read.

    It is EMPTY for a namespace of which the operator keeps no head. Raises nothing: what went wrong is a note.
    """
    namespace = operator_namespace(access)
    try:
        found = access.kube.find(CONFIGMAPS, namespace, names.AUDIT_HEADS)
        text = ((found or {}).get("data") or {}).get(access.namespace)
        head = Head.parse(text) if text else EMPTY
    except (AssayError, ValueError) as error:
        access.note(f"not compared with the head that the operator keeps: {error}")
        return None
    if found is None:
        access.note(f"there is no ConfigMap {names.AUDIT_HEADS} in the namespace {namespace}: nothing to compare with")
        return None
    return head


def operator_namespace(access: Access) -> str:
    """Return the operator's namespace: from the environment, else from the cluster, else the default one."""
    if named := os.environ.get(_NAMESPACE_VARIABLE, "").strip():
        return named
    try:
        policy = access.kube.find(ADMISSION_POLICIES, "", names.STATUS_POLICY) or {}
    except AssayError:
        policy = {}
    annotations = policy.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_OPERATOR_NAMESPACE) or names.DEFAULT_NAMESPACE)


def checker(keyring: Keyring) -> Checker:
    """Return what checks the signature of a record: it returns the fault in words, "" for none."""

    def check(signature: Signature, line: bytes) -> str:
        try:
            keyring.verify(signature.key, signature.value, line)
        except SigningError as error:
            return str(error)
        return ""

    return check
