"""Signatures in the store: written once, read back and verified before anybody is told of them.

A signature over a version's bytes is never replaced: one that does not verify stays for people to look at, and when
they have removed it, it is written anew. These functions block.
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
    """A signature that verifies: where it is, and the id of the key."""

    uri: str
    key: str


# Over the bytes of a version


def sign_version(store: ObjectStore, keyring: Keyring, version: ModelKey, digest: str) -> Signed:
    """The signature over a registered version with this digest; made now, if there is none.

    Raises NoKey, KeyUnknown, SignatureInvalid, RecordError when other bytes are registered, and StoreError.
    """
    with suppress(SignatureMissing):
        return check_version(store, keyring, version, digest)
    if keyring.private is None:
        raise NoKey("there is no key to sign with")
    manifest = read_model(store, layout.model_prefix(*version)).manifest
    if not manifest.digest == _found(manifest) == digest:
        raise RecordError(f"{layout.model_prefix(*version)} holds another model: expected the digest {digest}")
    files = ((entry.path.removeprefix(layout.ARTIFACT + "/"), entry.sha256) for entry in manifest.files)
    data = bundle.make(keyring, model_of(version, digest), files)
    with suppress(AlreadyExists):  # another operator was faster; what counts is what is there
        store.create(layout.signature_key(*version), data, "application/json")
    return check_version(store, keyring, version, digest)


def check_version(store: ObjectStore, keyring: Keyring, version: ModelKey, digest: str) -> Signed:
    """The signature over a version with this digest, as it is in the store at this moment.

    The digest is over all files, so it need not be asked which files there are. Raises SignatureMissing, KeyUnknown,
    SignatureInvalid, StoreError.
    """
    key = layout.signature_key(*version)
    claim = bundle.check(keyring, _read(store, key), model_of(version, digest))
    return Signed(f"s3://{store.config.bucket}/{key}", claim.key)


def model_of(version: ModelKey, digest: str) -> Model:
    """The version as signatures name it."""
    return Model(f"{version.namespace}/{version.model}.v{version.version}", digest)


def _found(manifest: ModelManifest) -> str:
    try:
        return model_digest(manifest.files, manifest.path)
    except NotFound:
        return "none"


# Over the provenance of a run


def sign_provenance(store: ObjectStore, keyring: Keyring, run_prefix: str, statement: Mapping[str, Any]) -> Signed:
    """Sign a statement about a run's model and put it beside the run's manifest, over an earlier one.

    Raises NoKey, SignatureInvalid when something else is read back, and StoreError.
    """
    key = layout.key(run_prefix, layout.PROVENANCE)
    store.put_bytes(key, to_json(seal(keyring, dict(statement))), "application/json")
    opened = check_provenance(store, keyring, run_prefix)
    if opened.statement != statement:
        raise SignatureInvalid("another statement was read back than was written")
    return Signed(f"s3://{store.config.bucket}/{key}", opened.key)


def check_provenance(store: ObjectStore, keyring: Keyring, run_prefix: str) -> Opened:
    """The signed statement about a run. Raises SignatureMissing, KeyUnknown, SignatureInvalid, StoreError."""
    key = layout.key(run_prefix, layout.PROVENANCE)
    return open_envelope(keyring, read_json(_read(store, key)))


def _read(store: ObjectStore, key: str) -> bytes:
    try:
        return store.get_bytes(key, MAX_MANIFEST_BYTES)
    except NotFound:
        raise SignatureMissing(f"there is no {key}") from None
    except TooLarge:
        raise SignatureInvalid(f"{key} is larger than {MAX_MANIFEST_BYTES} bytes") from None
