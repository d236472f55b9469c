"""Signatures in the store. They are written once, then read back and verified before they are reported.

A signature over a version is never replaced. One that does not verify stays in the store for inspection; after
somebody removes it, a new one is written. These functions block.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from assay.signing import bundle
from assay.signing.bundle import Model
from assay.signing.dsse import Opened, open_envelope, read_json, seal, to_json
from assay.signing.errors import NoKey, SignatureInvalid, SignatureMissing
from assay.signing.keys import Keyring
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, NotFound, RecordError, TooLarge
from assay.store.layout import ModelKey
from assay.store.limits import MAX_MANIFEST_BYTES
from assay.store.models import read_model
from assay.store.records import ModelManifest
from assay.store.verify import model_digest


class Signed(NamedTuple):
    """A verified signature: its location and the id of the key."""

    uri: str
    key: str


# Signatures over a version


def sign_version(store: ObjectStore, keyring: Keyring, version: ModelKey, digest: str) -> Signed:
    """Return the signature over a registered version with this digest; sign the version if there is none.

    Raises NoKey, KeyUnknown, SignatureInvalid, RecordError when the registered bytes differ, and StoreError.
    """
    with suppress(SignatureMissing):
        return check_version(store, keyring, version, digest)
    if keyring.private is None:
        raise NoKey("the operator has no signing key")
    manifest = read_model(store, layout.model_prefix(*version)).manifest
    if not manifest.digest == _found(manifest) == digest:
        raise RecordError(f"{layout.model_prefix(*version)} holds another model: expected the digest {digest}")
    files = ((entry.path.removeprefix(layout.ARTIFACT + "/"), entry.sha256) for entry in manifest.files)
    data = bundle.make(keyring, model_of(version, digest), files)
    with suppress(AlreadyExists):  # another operator wrote one first: use that one
        store.create(layout.signature_key(*version), data, "application/json")
    return check_version(store, keyring, version, digest)


def check_version(store: ObjectStore, keyring: Keyring, version: ModelKey, digest: str) -> Signed:
    """Verify the signature in the store over a version with this digest, and return it.

    The digest covers all files, so the list of files is not needed. Raises SignatureMissing, KeyUnknown,
    SignatureInvalid, StoreError.
    """
    key = layout.signature_key(*version)
    claim = bundle.check(keyring, _read(store, key), model_of(version, digest))
    return Signed(f"s3://{store.config.bucket}/{key}", claim.key)


def model_of(version: ModelKey, digest: str) -> Model:
    """The name and digest of a version in the form that signatures use."""
    return Model(f"{version.namespace}/{version.model}.v{version.version}", digest)


def _found(manifest: ModelManifest) -> str:
    try:
        return model_digest(manifest.files, manifest.path)
    except NotFound:
        return "none"


# Signatures over the provenance of a run


def sign_provenance(store: ObjectStore, keyring: Keyring, run_prefix: str, statement: Mapping[str, Any]) -> Signed:
    """Sign a statement about a run's model and store it beside the run's manifest, replacing an earlier one.

    Raises NoKey, SignatureInvalid when the stored statement differs from the written one, and StoreError.
    """
    key = layout.key(run_prefix, layout.PROVENANCE)
    store.put_bytes(key, to_json(seal(keyring, dict(statement))), "application/json")
    opened = check_provenance(store, keyring, run_prefix)
    if opened.statement != statement:
        raise SignatureInvalid("the statement that was read back differs from the one that was written")
    return Signed(f"s3://{store.config.bucket}/{key}", opened.key)


def check_provenance(store: ObjectStore, keyring: Keyring, run_prefix: str) -> Opened:
    """Verify and return a run's statement. Raises SignatureMissing, KeyUnknown, SignatureInvalid, StoreError."""
    key = layout.key(run_prefix, layout.PROVENANCE)
    return open_envelope(keyring, read_json(_read(store, key)))


def _read(store: ObjectStore, key: str) -> bytes:
    try:
        return store.get_bytes(key, MAX_MANIFEST_BYTES)
    except NotFound:
        raise SignatureMissing(f"{key} does not exist") from None
    except TooLarge:
        raise SignatureInvalid(f"{key} is larger than {MAX_MANIFEST_BYTES} bytes") from None
