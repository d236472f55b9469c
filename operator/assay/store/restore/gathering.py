"""Reads what is left: the trail of a namespace, and the versions in the store. Reads only; these functions block."""

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
    """What can be rebuilt of a namespace. `trail` is a client of the bucket with the audit trails.

    Believes the trail: verify it first. Raises StoreError, and ValueError for what cannot be a namespace.
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
    """Those that can be read; the verifier names the others."""
    for file in read_store(trail, namespace):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            continue


def _versions(store: ObjectStore, namespace: str) -> Iterator[ModelKey]:
    """Every version with anything of it in the store."""
    layout.audit_prefix(namespace)  # whether this can be a namespace at all
    above = f"models/{namespace}/"
    for model in store.folders(above):
        for folder in store.folders(f"{above}{model}/"):
            try:
                yield layout.parse_model_prefix(f"{above}{model}/{folder}")
            except ValueError:
                continue  # numbers, signatures


def _look(store: ObjectStore, key: ModelKey) -> tuple[str, Stored | str]:
    """A version's name, and its bytes when all of them are there with their sizes; else what is wrong."""
    name = f"{key.model}.v{key.version}"
    try:
        model = verify_model(store, layout.model_prefix(*key))
        return name, Stored(model, numbers.holder(store, *key) or "")
    except RecordError as error:
        return name, str(error)
