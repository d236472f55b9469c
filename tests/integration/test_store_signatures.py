"""Signatures in a real store: made once, verified by others over what was fetched, refused once a byte is another."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from securesystemslib.exceptions import VerificationError

from assay.fetch.fetching import fetch
from assay.fetch.settings import Settings
from assay.planning.runs import provenance
from assay.planning.runs.provenance import Builder
from assay.signing import stored
from assay.signing.errors import KeyUnknown, NoKey, SignatureInvalid, SignatureMissing
from assay.signing.keygen import make_keys
from assay.signing.keys import Keyring, Keys, new_key
from assay.signing.settings import SigningSettings
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.credentials import issue_model_credentials
from assay.store.errors import NotFound, RecordError
from assay.store.layout import ModelKey
from assay.store.models import RegisteredModel, verify_model
from tests.operators import ROOT
from tests.registered import Trained
from tests.s3 import S3Server
from tests.unit.planning.objects import at, run
from tests.verifiers import model_signing_verify, open_envelope, read_provenance

pytestmark = pytest.mark.integration


class Registered:
    """A registered model in a store, keys in files, and where the model is fetched to."""

    def __init__(self, server: S3Server, folder: Path, path: str = "model") -> None:
        self.server, self.folder = server, folder
        trained = Trained(server.store())
        self.store: ObjectStore = trained.store
        self.made: RegisteredModel = trained.register(path)
        self.version = ModelKey(trained.namespace, "digits", 1)
        self.digest = self.made.manifest.digest
        self.key = make_keys(folder / "keys")
        self.keys = Keys(SigningSettings(str(folder / "keys/signing.key"), str(folder / "keys/public-keys.pem")))

    @property
    def where(self) -> str:
        return layout.signature_key(*self.version)

    def sign(self) -> stored.Signed:
        return stored.sign_version(self.store, self.keys.current(), self.version, self.digest)

    def check(self) -> stored.Signed:
        return stored.check_version(self.store, self.keys.current(), self.version, self.digest)

    def fetch(self) -> Path:
        """Fetch the model as a server's init container does; return its folder."""
        credentials = self.folder / "credentials.json"
        issued = issue_model_credentials(self.server.config(), self.made.prefix)
        credentials.write_text(issued.to_json())
        directory = self.folder / "fetched" / "digits"
        settings = {
            "ASSAY_FETCH_PREFIX": self.made.prefix,
            "ASSAY_FETCH_DIGEST": self.digest,
            "ASSAY_FETCH_DIR": str(directory),
            "ASSAY_CREDENTIALS": str(credentials),
        }
        fetch(Settings.from_environment(settings), lambda _: None)
        return directory

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m assay.signing` with the store's variables."""
        config = self.server.config()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "ASSAY_STORE_ENDPOINT": config.endpoint,
            "ASSAY_STORE_ACCESS_KEY": config.access_key,
            "ASSAY_STORE_SECRET_KEY": config.secret_key,
        }
        command = [sys.executable, "-m", "assay.signing", *argv]
        return subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture
def registered(minio: S3Server, tmp_path: Path) -> Registered:
    return Registered(minio, tmp_path)


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[None]:
    """Let pytest remove what was fetched, which nobody is to write to."""
    yield
    for path in (tmp_path / "fetched").rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


@pytest.mark.parametrize("path", ["model", "model.pkl"], ids=["folder", "file"])
def test_a_fetched_model_is_verified_offline_by_model_signing(
    minio: S3Server, tmp_path: Path, writable: None, path: str
) -> None:
    registered = Registered(minio, tmp_path, path)
    signed = registered.sign()
    assert signed == (f"s3://assay/{registered.where}", registered.key)
    model, signature = registered.fetch(), tmp_path / "v1.sig"
    signature.write_bytes(registered.store.get_bytes(registered.where, 1 << 20))
    public = tmp_path / "keys/signing.pub"
    model_signing_verify(model, signature, public)

    cli = [str(Path(sys.executable).parent / "model_signing"), "verify", "key", str(model)]
    cli += ["--signature", str(signature), "--public_key", str(public)]
    done = subprocess.run(cli, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    file = sorted(each for each in model.rglob("*") if each.is_file() and each.stat().st_size)[0]
    file.parent.chmod(0o755)
    file.chmod(0o644)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match="Hash mismatch"):
        model_signing_verify(model, signature, public)
    done = subprocess.run(cli, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Hash mismatch" in done.stdout + done.stderr


def test_signing_twice_writes_once(registered: Registered) -> None:
    with pytest.raises(SignatureMissing):
        registered.check()
    registered.sign()
    first = registered.store.get_bytes(registered.where, 1 << 20)
    assert registered.sign() == registered.check()
    assert registered.store.get_bytes(registered.where, 1 << 20) == first
    assert verify_model(registered.store, registered.made.prefix, deep=True) == registered.made


def test_a_tampered_signature_stays_until_it_is_removed(registered: Registered) -> None:
    registered.sign()
    data = bytearray(registered.store.get_bytes(registered.where, 1 << 20))
    position = data.index(b'"payload":"') + 40
    data[position] = ord("A") if data[position] != ord("A") else ord("B")
    registered.store.put_bytes(registered.where, bytes(data))
    for attempt in (registered.check, registered.sign):
        with pytest.raises(SignatureInvalid):
            attempt()
    assert registered.store.get_bytes(registered.where, 1 << 20) == bytes(data)
    registered.store.delete(registered.where)
    assert registered.sign().key == registered.key


def test_old_keys_verify_until_they_are_withdrawn(registered: Registered) -> None:
    registered.sign()
    new = make_keys(registered.folder / "keys", rotate=True)
    assert registered.keys.current().signing_id == new
    assert registered.sign() == registered.check()
    assert registered.check().key == registered.key != new
    (registered.folder / "keys/public-keys.pem").unlink()
    for attempt in (registered.check, registered.sign):
        with pytest.raises(KeyUnknown, match=registered.key):
            attempt()


def test_the_signature_of_another_version_is_refused(registered: Registered) -> None:
    registered.sign()
    other = registered.version._replace(version=2)
    data = registered.store.get_bytes(registered.where, 1 << 20)
    registered.store.put_bytes(layout.signature_key(*other), data)
    with pytest.raises(SignatureInvalid, match=r"it is the signature of .*/digits\.v1 with"):
        stored.check_version(registered.store, registered.keys.current(), other, registered.digest)


def test_only_what_is_registered_is_signed(registered: Registered) -> None:
    with pytest.raises(NoKey):
        stored.sign_version(registered.store, Keyring(), registered.version, registered.digest)
    with pytest.raises(RecordError, match="holds another model"):
        stored.sign_version(registered.store, registered.keys.current(), registered.version, "sha256:" + "0" * 64)
    key = f"{registered.made.prefix}/{layout.MANIFEST}"
    manifest = json.loads(registered.store.get_bytes(key, 1 << 20))
    manifest["files"][0]["sha256"] = "0" * 64
    registered.store.put_bytes(key, json.dumps(manifest).encode())
    with pytest.raises(RecordError, match="holds another model"):
        registered.sign()
    with pytest.raises(NotFound):
        registered.store.stat(registered.where)


def test_provenance_is_verifiable_by_others_until_any_byte_changes(registered: Registered) -> None:
    prefix = layout.run_prefix(registered.version.namespace, "sweep", "sweep-0", "uid")
    manifest = b'{"outcome": "Succeeded"}'
    body = run(model={"path": "model"})
    body["status"] = {
        "startTime": at(0),
        "completionTime": at(9),
        "model": {"path": "model", "digest": registered.digest},
        "record": {"uri": "s3://b/", "manifestDigest": "sha256:" + hashlib.sha256(manifest).hexdigest()},
    }
    statement = provenance.statement(body, Builder("https://assay.dev/operator", "0"))
    keyring = registered.keys.current()
    assert stored.sign_provenance(registered.store, keyring, prefix, statement).key == registered.key

    key = f"{prefix}/provenance.dsse.json"
    data = registered.store.get_bytes(key, 1 << 20)
    public = {registered.key: (registered.folder / "keys/signing.pub").read_bytes()}
    read, _ = read_provenance(open_envelope(data, public))
    assert dict(read.subject[0].digest) == {"sha256": registered.digest.removeprefix("sha256:")}

    changed = bytearray(data)
    position = changed.index(b'"payload":"') + 40
    changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
    with pytest.raises(VerificationError):
        open_envelope(bytes(changed), public)
    registered.store.put_bytes(key, bytes(changed))
    with pytest.raises(SignatureInvalid):
        stored.check_provenance(registered.store, keyring, prefix)
    registered.store.delete(key)
    with pytest.raises(SignatureMissing):
        stored.check_provenance(registered.store, keyring, prefix)


def test_the_command_verifies_signatures_in_the_store(registered: Registered, writable: None) -> None:
    uri, keys = registered.sign().uri, str(registered.folder / "keys/public-keys.pem")
    name = f"{registered.version.namespace}/digits.v1"
    done = registered.command("verify", uri, f"--keys={keys}", f"--model={registered.fetch()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"verified: model of {name} ({registered.digest})\n  signed with the key {registered.key}\n")
    done = registered.command("verify", uri, f"--keys={keys}")
    assert "the model's bytes were not verified" in done.stdout

    make_keys(registered.folder / "others")
    done = registered.command("verify", uri, f"--keys={registered.folder / 'others/public-keys.pem'}")
    assert done.returncode == 1
    assert f"NOT VERIFIED: it is signed with the key {registered.key}" in done.stderr

    assert registered.command("keys", keys).stdout == f"{registered.key}\n"
    pem = (registered.folder / "keys/signing.pub").read_text()
    assert registered.command("keys", keys, f"--pem={registered.key}").stdout == pem
    assert registered.command("keys", keys, "--pem=0").returncode == 2
    done = registered.command("keygen", "keys")
    assert (done.returncode, done.stderr) == (2, "keys/signing.key already exists: use --rotate to replace it\n")
    done = registered.command("verify", uri.replace("v1.sig", "v7.sig"), f"--keys={keys}")
    assert done.returncode == 3
    done = registered.command("verify", "nothing", f"--keys={keys}")
    assert done.returncode == 2


def test_two_operators_that_sign_at_once_agree(registered: Registered) -> None:
    other = Keyring.of(new_key(), registered.keys.current().public.values())
    assert stored.sign_version(registered.store, other, registered.version, registered.digest).key == other.signing_id
    believing = Keyring.of(registered.keys.current().private, other.public.values())
    found = stored.sign_version(registered.store, believing, registered.version, registered.digest)
    assert found.key == other.signing_id
