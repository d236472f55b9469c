"""Verifies the files of a run or a version against its manifest, and its signature."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from assay.api.errors import InvalidRequest, RequestFailed
from assay.api.objects import Raw
from assay.queries.access import Access
from assay.queries.files import listing
from assay.queries.files.listing import File, Stored
from assay.signing import checking
from assay.signing.errors import KeyUnusable, SigningError
from assay.signing.keys import Keyring, read_public
from assay.signing.stored import check_version
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.digests import bytes_digest
from assay.store.errors import NotFound, RecordError
from assay.store.limits import MAX_MANIFEST_BYTES
from assay.store.models import verify_model
from assay.store.parallel import ordered
from assay.store.verify import verify_run

_WORKERS = 8


class Finding(NamedTuple):
    """One difference from what was recorded. `problem` is missing, changed, unknown or signature."""

    path: str
    problem: str
    message: str


@dataclass
class Report:
    """The result. `signature` describes the state of the signature; `deep`: every byte was read."""

    name: str
    kind: str
    deep: bool
    files: int = 0
    bytes: int = 0
    expired: int = 0
    signature: str = ""
    findings: list[Finding] = field(default_factory=list)

    def document(self) -> Raw:
        """Return the answer as JSON: the fields, ``intact``, and ``findings`` as ``{"path", "problem", "message"}``."""
        findings = [finding._asdict() for finding in self.findings]
        return {**asdict(self), "intact": not findings, "findings": findings}


def verify(access: Access, text: str, key: Path | None, *, quick: bool) -> Report:
    """Compare the store with the manifests; ``quick`` compares only sizes. Raises AssayError, StoreError."""
    keyring = read_keyring(key) if key else None
    stored = listing.find(access, text)
    if not any(file.sha256 for file in stored.files):
        raise RequestFailed(f"cannot verify {stored.name}: it has no manifest yet")
    report = Report(stored.name, stored.kind, deep=not quick)
    _files(report, access.store, stored, quick=quick)
    _manifest(report, access.store, stored)
    _signature(report, access.store, stored, keyring)
    return report


def read_keyring(path: Path) -> Keyring:
    """Return the public keys in a file. Raises AssayError."""
    try:
        keys = read_public(path)
    except KeyUnusable as error:
        raise InvalidRequest(str(error), hint="docs/provenance.md describes the file") from None
    if not keys:
        raise InvalidRequest(
            f"{path} does not exist, or has no key in it", hint="ask the platform team for the public keys"
        )
    return Keyring.of(None, keys)


def _files(report: Report, store: ObjectStore, stored: Stored, *, quick: bool) -> None:
    present = {info.key: info.size for info in store.list(stored.prefix + "/")}

    def check(file: File) -> Finding | None:
        key = f"{stored.prefix}/{file.path}"
        if key not in present:
            return None if file.expired else Finding(file.path, "missing", "it is not in the store")
        if present[key] != file.size:
            return Finding(file.path, "changed", f"expected {file.size} bytes, found {present[key]}")
        return None if quick else _content(store, key, file)

    for file, finding in zip(stored.files, ordered(check, stored.files, _WORKERS), strict=True):
        report.files += 1
        report.bytes += file.size
        report.expired += file.expired
        report.findings += [finding] if finding else []


def _content(store: ObjectStore, key: str, file: File) -> Finding | None:
    try:
        _, sha256 = store.digest(key)
    except NotFound:
        return Finding(file.path, "missing", "it is not in the store")
    if sha256 == file.sha256:
        return None
    return Finding(file.path, "changed", f"expected the sha256 {file.sha256}, found {sha256}")


def _manifest(report: Report, store: ObjectStore, stored: Stored) -> None:
    """Check that the manifest is the one in the object's status, and lists all files in the store."""
    status = stored.body.get("status") or {}
    known = status.get("artifact") if stored.kind == "version" else status.get("record")
    expected = (known or {}).get("manifestDigest")
    found = bytes_digest(store.get_bytes(f"{stored.prefix}/{layout.MANIFEST}", MAX_MANIFEST_BYTES))
    if expected and expected != found:
        message = f"expected the digest {expected}, found {found}"
        report.findings.append(Finding(layout.MANIFEST, "changed", message))
    try:
        other = _structure(store, stored)
    except RecordError as error:
        other = str(error)
    if other and not report.findings:  # otherwise it repeats one of them
        report.findings.append(Finding(layout.MANIFEST, "unknown", other))


def _structure(store: ObjectStore, stored: Stored) -> str:
    """Return what is wrong with the manifest or with files beside it, "" if nothing. Raises RecordError."""
    if stored.kind == "run":
        verify_run(store, stored.prefix)
        return ""
    found, approved = verify_model(store, stored.prefix).manifest.digest, stored.body["spec"]["artifact"]["digest"]
    return "" if found == approved else f"it describes other bytes: expected the digest {approved}, found {found}"


def _signature(report: Report, store: ObjectStore, stored: Stored, keyring: Keyring | None) -> None:
    if keyring is None:
        known = (stored.body.get("status") or {}).get("signature")
        report.signature = "not checked: give the public keys with --key FILE" if known or stored.kind == "run" else ""
        return
    try:
        if stored.kind == "version":
            version = layout.parse_model_prefix(stored.prefix)
            key = check_version(store, keyring, version, stored.body["spec"]["artifact"]["digest"]).key
        else:
            key = _provenance(store, stored.prefix, keyring)
        report.signature = f"valid, by key {key}"
    except (SigningError, NotFound) as error:
        report.signature = f"NOT VALID: {error}"
        report.findings.append(Finding("", "signature", str(error)))


def _provenance(store: ObjectStore, prefix: str, keyring: Keyring) -> str:
    """Return the key that signed the run's provenance, which names the run's manifest. Raises SigningError."""
    signed = store.get_bytes(f"{prefix}/{layout.PROVENANCE}", MAX_MANIFEST_BYTES)
    with tempfile.NamedTemporaryFile() as manifest:
        manifest.write(store.get_bytes(f"{prefix}/{layout.MANIFEST}", MAX_MANIFEST_BYTES))
        manifest.flush()
        return checking.verify(keyring, signed, manifest=Path(manifest.name)).key
