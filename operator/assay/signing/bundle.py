"""The signature over a model's files, as the OpenSSF's `model-signing` (1.x) writes and verifies it.

A Sigstore bundle (v0.3) with a DSSE envelope and a public key's hint, no certificate and no transparency log. The
statement lists every file; its subject's digest is the sha256 over the files' digests, in the order of the list.
`model-signing` passes over Git's own files at the top of a model, so they are not in the list; what covers them is
`predicate.assay`, which that package ignores: the version's name, and the digest that approvals are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from assay.api.objects import Raw
from assay.signing.dsse import Opened, open_envelope, read_json, seal, to_json
from assay.signing.errors import SignatureInvalid
from assay.signing.keys import Keyring, public_pem

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
PASSED_OVER = (".git", ".gitattributes", ".github", ".gitignore")
_OURS = "assay"


class Model(NamedTuple):
    """Which model is meant: "<namespace>/<model>.v<N>", and its digest, "sha256:<hex>"."""

    name: str
    digest: str


class Claim(NamedTuple):
    """What a bundle says: which model, the sha256 (hex) of each file by its path, and who has signed that."""

    model: Model
    files: dict[str, str]
    key: str


def make(keyring: Keyring, model: Model, files: Iterable[tuple[str, str]]) -> bytes:
    """The bundle for a model, from (path, sha256 as hex) of each file. Raises NoKey."""
    return to_json(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": _hint(keyring)}, "tlogEntries": []},
            "dsseEnvelope": seal(keyring, statement(model, files)),
        }
    )


def _hint(keyring: Keyring) -> str:
    """What model-signing compares with the key that it is given: the sha256 over the PEM, not over the DER."""
    pem = public_pem(keyring.private.public_key()) if keyring.private else b""
    return hashlib.sha256(pem).hexdigest()


def statement(model: Model, files: Iterable[tuple[str, str]]) -> Raw:
    """The in-toto statement that is signed."""
    listed = sorted((path.split("/"), sha256) for path, sha256 in files if not is_passed_over(path))
    resources = [{"name": "/".join(path), "algorithm": "sha256", "digest": sha256} for path, sha256 in listed]
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": list(PASSED_OVER),
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": model.name, "digest": {"sha256": _root([each["digest"] for each in resources])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": serialization,
            "resources": resources,
            _OURS: {"name": model.name, "digest": model.digest},
        },
    }


def is_passed_over(path: str) -> bool:
    """Whether `model-signing` does not look at a file of a model."""
    return path.split("/", 1)[0] in PASSED_OVER


def _root(digests: Iterable[str]) -> str:
    root = hashlib.sha256()
    for digest in digests:
        root.update(bytes.fromhex(digest))
    return root.hexdigest()


def read(keyring: Keyring, data: bytes) -> Claim:
    """What a bundle says that a known key has signed. Raises KeyUnknown, SignatureInvalid."""
    found = read_json(data)
    if not isinstance(found, dict) or found.get("mediaType") != MEDIA_TYPE:
        raise SignatureInvalid("it is no bundle of model-signing")
    opened = open_envelope(keyring, found.get("dsseEnvelope"))
    try:
        return _claim(opened)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise SignatureInvalid("what is signed is no statement about a model that Assay has made") from None


def _claim(opened: Opened) -> Claim:
    said = opened.statement
    if said["predicateType"] != PREDICATE_TYPE:
        raise SignatureInvalid("what is signed is no statement about a model")
    resources, ours = said["predicate"]["resources"], said["predicate"][_OURS]
    if [each["digest"]["sha256"] for each in said["subject"]] != [_root(each["digest"] for each in resources)]:
        raise SignatureInvalid("what is signed contradicts itself: its subject is not made of its files")
    model = Model(str(ours["name"]), str(ours["digest"]))
    return Claim(model, {str(each["name"]): str(each["digest"]) for each in resources}, opened.key)


def check(keyring: Keyring, data: bytes, model: Model) -> Claim:
    """What a bundle says, if it is about this very model. Raises KeyUnknown, SignatureInvalid."""
    claim = read(keyring, data)
    if claim.model != model:
        said, meant = (f"{each.name} with the digest {each.digest}" for each in (claim.model, model))
        raise SignatureInvalid(f"it is the signature of {said}, not of {meant}")
    return claim
