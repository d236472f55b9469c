"""Reads the trail of a namespace and the versions in the store. Read-only; these functions block."""

from __future__ import annotations

from collections.abc import Iterator

import pydantic

from assay.store import layout, numbers
from assay.store.audit.records import AuditRecord
from assay.store.audit.sources import read_store
from assay.store.client import ObjectStore
from assay.store.errors import RecordError
from assay.store.layout import ModelKey
from assay.store.models import verify_model
from assay.store.parallel import ordered
from assay.store.restore.history import read_history
from assay.store.restore.manifests import Restored, Stored, rebuild

_WORKERS = 8


def restore(store: ObjectStore, trail: ObjectStore, namespace: str) -> Restored:
    """Rebuild the manifests of a namespace. `trail` is a client of the bucket with the audit trails.

    The trail is trusted: verify it first. Raises StoreError, and ValueError for an invalid namespace.
    """
    history = read_history(_records(trail, namespace))
    stored: dict[str, Stored] = {}
    broken: dict[str, str] = {}
    for name, found in ordered(lambda key: _look(store, key), _versions(store, namespace), _WORKERS):
        if isinstance(found, Stored):
            stored[name] = found
        else:
            broken[name] = found
    return rebuild(namespace, history, stored, broken)


def _records(trail: ObjectStore, namespace: str) -> Iterator[AuditRecord]:
    """The valid records of the trail. The verifier reports the others."""
    for file in read_store(trail, namespace):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            continue


def _versions(store: ObjectStore, namespace: str) -> Iterator[ModelKey]:
    """Every version that has an object in the store."""
    layout.audit_prefix(namespace)  # validates the namespace
    above = f"models/{namespace}/"
    for model in store.folders(above):
        for folder in store.folders(f"{above}{model}/"):
            try:
                yield layout.parse_model_prefix(f"{above}{model}/{folder}")
            except ValueError:
                continue  # numbers, signatures


def _look(store: ObjectStore, key: ModelKey) -> tuple[str, Stored | str]:
    """A version's name, and its stored model if all files exist with their sizes, or else the problem."""
    name = f"{key.model}.v{key.version}"
    try:
        model = verify_model(store, layout.model_prefix(*key))
        return name, Stored(model, numbers.holder(store, *key) or "")
    except RecordError as error:
        return name, str(error)
