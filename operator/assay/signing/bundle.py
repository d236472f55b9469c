"""The signature over a model's files, in the format of OpenSSF `model-signing` (1.x).

It is a Sigstore bundle (v0.3) with a DSSE envelope and a public key hint, without a certificate or a transparency log.
The statement lists every file. The digest of its subject is the sha256 over the files' digests, in list order.
`model-signing` ignores Git's files at the top of a model, so they are not in the list. `predicate.assay` covers them:
it has the version's name and the digest that approvals refer to. `model-signing` ignores that field.
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
    """A model's name, "<namespace>/<model>.v<N>", and its digest, "sha256:<hex>"."""

    name: str
    digest: str


class Claim(NamedTuple):
    """The content of a bundle: the model, the sha256 (hex) of each file by path, and the id of the signing key."""

    model: Model
    files: dict[str, str]
    key: str


def make(keyring: Keyring, model: Model, files: Iterable[tuple[str, str]]) -> bytes:
    """Sign a model and return the bundle. `files` has the path and sha256 (hex) of each file. Raises NoKey."""
    return to_json(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": _hint(keyring)}, "tlogEntries": []},
            "dsseEnvelope": seal(keyring, statement(model, files)),
        }
    )


def _hint(keyring: Keyring) -> str:
    """The hint that model-signing compares with its key: the sha256 over the PEM, not over the DER."""
    pem = public_pem(keyring.private.public_key()) if keyring.private else b""
    return hashlib.sha256(pem).hexdigest()


def statement(model: Model, files: Iterable[tuple[str, str]]) -> Raw:
    """The in-toto statement to sign."""
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
    """Whether `model-signing` ignores a file of a model."""
    return path.split("/", 1)[0] in PASSED_OVER


def _root(digests: Iterable[str]) -> str:
    root = hashlib.sha256()
    for digest in digests:
        root.update(bytes.fromhex(digest))
    return root.hexdigest()


def read(keyring: Keyring, data: bytes) -> Claim:
    """Verify a bundle with the known keys and return its claim. Raises KeyUnknown, SignatureInvalid."""
    found = read_json(data)
    if not isinstance(found, dict) or found.get("mediaType") != MEDIA_TYPE:
        raise SignatureInvalid("it is not a model-signing bundle")
    opened = open_envelope(keyring, found.get("dsseEnvelope"))
    try:
        return _claim(opened)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise SignatureInvalid("the signed statement is not one that Assay made about a model") from None


def _claim(opened: Opened) -> Claim:
    signed = opened.statement
    if signed["predicateType"] != PREDICATE_TYPE:
        raise SignatureInvalid("the signed statement is not about a model")
    resources, ours = signed["predicate"]["resources"], signed["predicate"][_OURS]
    if [each["digest"]["sha256"] for each in signed["subject"]] != [_root(each["digest"] for each in resources)]:
        raise SignatureInvalid("the signed statement contradicts itself: its subject does not match its files")
    model = Model(str(ours["name"]), str(ours["digest"]))
    return Claim(model, {str(each["name"]): str(each["digest"]) for each in resources}, opened.key)


def check(keyring: Keyring, data: bytes, model: Model) -> Claim:
    """Verify that a bundle is about exactly this model and return its claim. Raises KeyUnknown, SignatureInvalid."""
    claim = read(keyring, data)
    if claim.model != model:
        signed, expected = (f"{each.name} with the digest {each.digest}" for each in (claim.model, model))
        raise SignatureInvalid(f"it is the signature of {signed}, not of {expected}")
    return claim
