"""P-256 key pairs in PEM files. One private key signs; its public key and any number of older ones verify.

The id of a key is the sha256 over the DER of its SubjectPublicKeyInfo. The files come from a mounted Secret: they may
be missing, and they may be replaced while the operator runs.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from assay.signing.errors import KeyUnknown, KeyUnusable, NoKey, SignatureInvalid
from assay.signing.settings import SigningSettings

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)
_MAX_FILE_BYTES = 1 << 20
_ALGORITHM = ec.ECDSA(hashes.SHA256())


def key_id(key: PublicKey) -> str:
    """The id of a key: 64 hex digits."""
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, info)).hexdigest()


def public_pem(key: PublicKey) -> bytes:
    """The key as PEM, which `openssl` and other verifiers can read."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PEM (PKCS8)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_key() -> PrivateKey:
    """Generate a private key."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Keyring:
    """The private key that signs (None: nothing is signed) and the trusted public keys by id."""

    private: PrivateKey | None = None
    public: Mapping[str, PublicKey] = field(default_factory=dict)

    @classmethod
    def of(cls, private: PrivateKey | None, public: Iterable[PublicKey] = ()) -> Keyring:
        """A keyring that also trusts the public key of its own private key."""
        known = [*public, *([private.public_key()] if private else [])]
        return cls(private, {key_id(key): key for key in known})

    @property
    def signing_id(self) -> str:
        """The id of the signing key; "" if there is none."""
        return key_id(self.private.public_key()) if self.private else ""

    def sign(self, data: bytes) -> bytes:
        """Sign `data` with ECDSA and SHA-256; returns the signature as DER. Raises NoKey."""
        if self.private is None:
            raise NoKey("the operator has no signing key")
        return self.private.sign(data, _ALGORITHM)

    def verify(self, key: str, signature: bytes, data: bytes) -> None:
        """Verify a signature with the key that has this id. Raises KeyUnknown, SignatureInvalid."""
        if key not in self.public:
            raise KeyUnknown(f"it is signed with the key {key[:64] or 'without an id'}, which is not a known key")
        try:
            self.public[key].verify(signature, data, _ALGORITHM)
        except InvalidSignature:
            raise SignatureInvalid(f"the signature by the key {key} does not match the content") from None


def read_private(path: Path) -> PrivateKey | None:
    """Read the private key in a file; None if the file does not exist. Raises KeyUnusable."""
    data = _read(path)
    if data is None:
        return None
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} holds no private key in PEM (PKCS8, not encrypted)") from None
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"the key in {path} is not a P-256 key")
    return key


def read_public(path: Path) -> list[PublicKey]:
    """Read the public keys in a file, one PEM block each; [] if the file does not exist. Raises KeyUnusable."""
    data = _read(path)
    if data is None:
        return []
    found = [_public(block, path) for block in _PEM.findall(data)]
    if data.strip() and not found:
        raise KeyUnusable(f"{path} holds no public key in PEM")
    return found


def _public(block: bytes, path: Path) -> PublicKey:
    if b"PRIVATE" in block:
        raise KeyUnusable(f"{path} holds a private key: it must hold public keys only")
    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} holds a block that is not a public key in PEM") from None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"a key in {path} is not a P-256 key")
    return key


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise KeyUnusable(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    return data


class Stamp(NamedTuple):
    """Attributes of a file that change when it is replaced."""

    inode: int
    size: int
    modified: int


class Keys:
    """The keys currently in the configured files."""

    def __init__(self, settings: SigningSettings | None = None) -> None:
        self._settings = settings or SigningSettings()
        self._stamps: list[Stamp | None] | None = None
        self._found: Keyring | KeyUnusable = Keyring()

    def current(self) -> Keyring:
        """The current keyring. Cheap to call: the files are read only after a change. Raises KeyUnusable."""
        stamps = [_stamp(path) for path in self._settings.files]
        if stamps != self._stamps:
            self._found, self._stamps = self._load(), stamps
        if isinstance(self._found, KeyUnusable):
            raise self._found
        return self._found

    def state(self) -> str:
        """The keys on one line, for the log. The text changes when the keys change."""
        try:
            found = self.current()
        except KeyUnusable as error:
            return f"nothing is signed or verified: {error}"
        signs = f"signing with the key {found.signing_id}" if found.private else "no signing key: nothing is signed"
        others = sorted(found.public.keys() - {found.signing_id})
        return f"{signs}; {len(others)} further public keys{': ' if others else ''}{', '.join(others)}"

    def _load(self) -> Keyring | KeyUnusable:
        key, public = self._settings.key_file, self._settings.public_keys_file
        try:
            private = read_private(Path(key)) if key else None
            return Keyring.of(private, read_public(Path(public)) if public else [])
        except KeyUnusable as error:
            return error


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (called often)
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
