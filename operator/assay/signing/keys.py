"""Key pairs: P-256, in PEM files. One private key signs; it and any number of older public ones verify.

A key is named by its id, the sha256 over the DER of its SubjectPublicKeyInfo. The files are those of a mounted Secret:
they may be missing, and they may be replaced while the operator runs.
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
    """The key as PEM, as `openssl` and the verifiers of others read it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    """The key as PEM (PKCS8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_key() -> PrivateKey:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Keyring:
    """What can be signed with, None for nothing, and all that is believed, by its id."""

    private: PrivateKey | None = None
    public: Mapping[str, PublicKey] = field(default_factory=dict)

    @classmethod
    def of(cls, private: PrivateKey | None, public: Iterable[PublicKey] = ()) -> Keyring:
        """A keyring that believes what its own key has signed, too."""
        known = [*public, *([private.public_key()] if private else [])]
        return cls(private, {key_id(key): key for key in known})

    @property
    def signing_id(self) -> str:
        """The id of the key that signs, "" when there is none."""
        return key_id(self.private.public_key()) if self.private else ""

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, ECDSA with SHA-256 in DER. Raises NoKey."""
        if self.private is None:
            raise NoKey("there is no key to sign with")
        return self.private.sign(data, _ALGORITHM)

    def verify(self, key: str, signature: bytes, data: bytes) -> None:
        """Check a signature by the key of this id. Raises KeyUnknown, SignatureInvalid."""
        if key not in self.public:
            raise KeyUnknown(f"it is signed with the key {key[:64] or 'of no name'}, which is not among the known ones")
        try:
            self.public[key].verify(signature, data, _ALGORITHM)
        except InvalidSignature:
            raise SignatureInvalid(f"the signature with the key {key} is not over these bytes") from None


def read_private(path: Path) -> PrivateKey | None:
    """The private key in a file; None when the file is not there. Raises KeyUnusable."""
    data = _read(path)
    if data is None:
        return None
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} holds no private key in PEM (PKCS8, not encrypted)") from None
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"the key in {path} is no P-256 key")
    return key


def read_public(path: Path) -> list[PublicKey]:
    """The public keys in a file, one PEM block each; none when the file is not there. Raises KeyUnusable."""
    data = _read(path)
    if data is None:
        return []
    found = [_public(block, path) for block in _PEM.findall(data)]
    if data.strip() and not found:
        raise KeyUnusable(f"{path} holds no public key in PEM")
    return found


def _public(block: bytes, path: Path) -> PublicKey:
    if b"PRIVATE" in block:
        raise KeyUnusable(f"{path} holds a private key: only public ones belong there")
    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} holds something that is no public key in PEM") from None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"a key in {path} is no P-256 key")
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
        raise KeyUnusable(f"{path} has more than {_MAX_FILE_BYTES} bytes")
    return data


class Stamp(NamedTuple):
    """What of a file changes when another one takes its place."""

    inode: int
    size: int
    modified: int


class Keys:
    """The keys as they are in their files at this moment."""

    def __init__(self, settings: SigningSettings | None = None) -> None:
        self._settings = settings or SigningSettings()
        self._stamps: list[Stamp | None] | None = None
        self._found: Keyring | KeyUnusable = Keyring()

    def current(self) -> Keyring:
        """The keyring. Cheap: the files are read when they have changed. Raises KeyUnusable."""
        stamps = [_stamp(path) for path in self._settings.files]
        if stamps != self._stamps:
            self._found, self._stamps = self._load(), stamps
        if isinstance(self._found, KeyUnusable):
            raise self._found
        return self._found

    def state(self) -> str:
        """The keys in one line, for the log; another text when they have changed."""
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
        found = os.stat(path)  # noqa: PTH116 (it is asked often)
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
