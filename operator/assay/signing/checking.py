"""Verification with the public keys only: a signature and, optionally, the bytes of the model that it covers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from assay.api.objects import Raw
from assay.signing import bundle
from assay.signing.bundle import Claim
from assay.signing.dsse import Opened, open_envelope, read_json
from assay.signing.errors import SignatureInvalid
from assay.signing.keys import Keyring
from assay.store.digests import PREFIX, folder_digest


class Report(NamedTuple):
    """A verified signature. `kind` is "model" or "provenance"; `statement` is {} unless it is a provenance."""

    kind: str
    key: str
    names: list[str]
    digest: str
    statement: Raw


def verify(keyring: Keyring, signature: bytes, model: Path | None = None, manifest: Path | None = None) -> Report:
    """Verify a bundle or an envelope and, if given, the bytes of a model and a run's manifest.json.

    Raises KeyUnknown, SignatureInvalid, OSError.
    """
    found = read_json(signature)
    if isinstance(found, dict) and "mediaType" in found:
        return _bundle(bundle.read(keyring, signature), model)
    return _provenance(open_envelope(keyring, found), model, manifest)


def _bundle(claim: Claim, model: Path | None) -> Report:
    if model is not None:
        files = _files(model)
        if (digest := _digest(model, files)) != claim.model.digest and _alone(files) != claim.model.digest:
            raise SignatureInvalid(_difference(claim, files) or _other(model, claim.model.digest, digest))
    return Report("model", claim.key, [claim.model.name], claim.model.digest, {})


def _provenance(opened: Opened, model: Path | None, manifest: Path | None) -> Report:
    try:
        subjects = {each["name"]: PREFIX + each["digest"]["sha256"] for each in opened.statement["subject"]}
        listed = opened.statement["predicate"]["runDetails"]["byproducts"]
        manifests = [each["digest"]["sha256"] for each in listed if each["name"] == "manifest.json"]
    except (KeyError, TypeError):
        raise SignatureInvalid("the signed statement is not the provenance of a run") from None
    if model is not None:
        files = _files(model)
        found = {_digest(model, files), _alone(files)}
        if not found & set(subjects.values()):
            raise SignatureInvalid(_other(model, " or ".join(subjects.values()), _digest(model, files)))
    if manifest is not None and (sha256 := _sha256(manifest)) not in manifests:
        raise SignatureInvalid(f"{manifest} has the sha256 {sha256}; the signed statement has {', '.join(manifests)}")
    return Report("provenance", opened.key, [*subjects], next(iter(subjects.values()), ""), opened.statement)


def _files(model: Path) -> dict[str, str]:
    """The sha256 of every file of a model, by path."""
    if not model.is_dir():
        return {model.name: _sha256(model)}
    found = {}
    for path in sorted(model.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise SignatureInvalid(f"{path} is neither a file nor a folder")
        if path.is_file():
            found[path.relative_to(model).as_posix()] = _sha256(path)
    return found


def _digest(model: Path, files: dict[str, str]) -> str:
    return folder_digest(files.items()) if model.is_dir() else _alone(files)


def _alone(files: dict[str, str]) -> str:
    """The digest of a single-file model. It is the same for the file itself and for a fetched folder that holds it."""
    return PREFIX + next(iter(files.values())) if len(files) == 1 else ""


def _difference(claim: Claim, files: dict[str, str]) -> str:
    """Describe the first file that differs from the signed list; "" if there is none."""
    for path, sha256 in sorted(claim.files.items()):
        if path not in files:
            return f"{path} is missing"
        if files[path] != sha256:
            return f"{path}: expected the sha256 {sha256}, found {files[path]}"
    extra = sorted(path for path in files.keys() - claim.files.keys() if not bundle.is_passed_over(path))
    return f"{extra[0]} was added" if extra else ""


def _other(model: Path, expected: str, found: str) -> str:
    return f"{model}: expected the digest {expected}, found {found}"


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
