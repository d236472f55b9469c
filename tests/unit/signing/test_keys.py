"""Keys from files: trust, signing and rotation."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from assay.signing.errors import KeyUnknown, KeyUnusable, NoKey, SignatureInvalid
from assay.signing.keygen import make_keys
from assay.signing.keys import Keyring, Keys, key_id, new_key, private_pem, public_pem, read_private, read_public
from assay.signing.settings import SigningSettings

pytestmark = pytest.mark.unit


def settings(folder: Path) -> SigningSettings:
    return SigningSettings(str(folder / "signing.key"), str(folder / "public-keys.pem"))


def test_a_generated_key_signs_and_is_trusted(tmp_path: Path) -> None:
    made = make_keys(tmp_path)
    keyring = Keys(settings(tmp_path)).current()
    assert keyring.signing_id == made
    assert list(keyring.public) == [made]
    signature = keyring.sign(b"data")
    keyring.verify(made, signature, b"data")
    with pytest.raises(SignatureInvalid):
        keyring.verify(made, signature, b"Data")
    with pytest.raises(KeyUnknown, match=made):
        Keyring.of(new_key()).verify(made, signature, b"data")
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["public-keys.pem", "signing.key", "signing.pub"]


def test_the_key_id_matches_openssl(tmp_path: Path) -> None:
    made = make_keys(tmp_path)
    script = "openssl pkey -pubin -in signing.pub -outform DER | sha256sum"
    said = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == made


def test_after_rotation_the_new_key_signs_and_the_old_one_is_trusted(tmp_path: Path) -> None:
    old = make_keys(tmp_path)
    keys = Keys(settings(tmp_path))
    signature, before = keys.current().sign(b"data"), keys.state()
    with pytest.raises(FileExistsError):
        make_keys(tmp_path)
    assert keys.current().signing_id == old

    new = make_keys(tmp_path, rotate=True)
    assert keys.state() != before
    assert keys.current().signing_id == new != old
    assert set(keys.current().public) == {old, new}
    keys.current().verify(old, signature, b"data")
    (tmp_path / "public-keys.pem").write_bytes(b"")
    with pytest.raises(KeyUnknown):
        keys.current().verify(old, signature, b"data")


def test_without_key_files_signing_is_disabled(tmp_path: Path) -> None:
    for keys in (Keys(), Keys(settings(tmp_path))):
        assert keys.current() == Keyring()
        assert keys.state() == "no signing key: nothing is signed; 0 further public keys"
        with pytest.raises(NoKey):
            keys.current().sign(b"data")


def test_added_and_removed_key_files_are_noticed(tmp_path: Path) -> None:
    keys = Keys(settings(tmp_path))
    assert keys.current().signing_id == ""
    made = make_keys(tmp_path)
    assert keys.current().signing_id == made
    assert keys.state() == f"signing with the key {made}; 0 further public keys"
    (tmp_path / "signing.key").unlink()
    assert keys.current().private is None
    assert list(keys.current().public) == [made]


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())
PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM
SEALED = new_key().private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no private key in PEM"),
        (b"garbage", "holds no private key in PEM"),
        (public_pem(new_key().public_key()), "holds no private key in PEM"),
        (SEALED, "holds no private key in PEM"),
        (P384.private_bytes(PEM, PKCS8, serialization.NoEncryption()), "is not a P-256 key"),
        (RSA.private_bytes(PEM, PKCS8, serialization.NoEncryption()), "is not a P-256 key"),
        (b"x" * (2 << 20), "is larger than 1048576 bytes"),
    ],
)
def test_an_invalid_private_key_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    with pytest.raises(KeyUnusable, match=said) as caught:
        read_private(path)
    assert "PRIVATE" not in str(caught.value)
    keys = Keys(SigningSettings(str(path)))
    assert keys.state() == f"nothing is signed or verified: {caught.value}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"garbage", "holds no public key in PEM"),
        (private_pem(new_key()), "holds a private key"),
        (public_pem(P384.public_key()), "is not a P-256 key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds a block that is not a public key"),
    ],
)
def test_an_invalid_public_key_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "public-keys.pem"
    path.write_bytes(content)
    with pytest.raises(KeyUnusable, match=said):
        read_public(path)


def test_text_around_public_keys_is_ignored(tmp_path: Path) -> None:
    keys = [new_key().public_key() for _ in range(3)]
    path = tmp_path / "public-keys.pem"
    path.write_bytes(b"\n".join(b"# from 2025\n" + public_pem(key) for key in keys))
    assert [key_id(key) for key in read_public(path)] == [key_id(key) for key in keys]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / "signing.key").chmod(0)
    with pytest.raises(KeyUnusable, match="cannot be read"):
        read_private(tmp_path / "signing.key")
