"""A model's bundle: OpenSSF model-signing verifies it, and refuses it after any byte changes."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.signing import bundle
from assay.signing.bundle import Model
from assay.signing.checking import verify
from assay.signing.dsse import pae
from assay.signing.errors import KeyUnknown, SignatureInvalid
from assay.signing.keys import Keyring, new_key, public_pem
from assay.store.digests import folder_digest
from tests.verifiers import model_signing_verify

pytestmark = pytest.mark.unit

KEYRING = Keyring.of(new_key())
FILES = {
    "weights.bin": b"w" * 100_000,
    "deep/er/config.json": b"{}",
    "deep/a": b"a",
    "deep.a": b"b",
    "a b/%ü+&?#\"'": b"odd",
    "empty": b"",
    ".gitattributes": b"*.bin filter=lfs",
    "deep/.gitignore": b"x",
}
ONE = {"model.pkl": b"single"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Folder:
    """A fetched model, its bundle and the public key, as files."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.model, self.signature, self.key = folder / "digits", folder / "v1.sig", folder / "signing.pub"
        for path, data in files.items():
            (self.model / path).parent.mkdir(parents=True, exist_ok=True)
            (self.model / path).write_bytes(data)
        digests = [(path, sha256(data)) for path, data in files.items()]
        alone = f"sha256:{digests[0][1]}" if files == ONE else ""
        self.named = Model("ns/digits.v1", alone or folder_digest(digests))
        self.data = bundle.make(KEYRING, self.named, digests)
        self.signature.write_bytes(self.data)
        self.key.write_bytes(public_pem(KEYRING.private.public_key()))  # type: ignore[union-attr]

    def verify(self) -> None:
        """Verify with the package, and with our own command's function."""
        model_signing_verify(self.model, self.signature, self.key)
        report = verify(KEYRING, self.signature.read_bytes(), self.model)
        assert (report.names, report.digest, report.key) == ([self.named.name], self.named.digest, KEYRING.signing_id)


@pytest.mark.parametrize("files", [FILES, ONE], ids=["folder", "file"])
def test_model_signing_verifies_a_bundle_and_refuses_another_byte(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = Folder(tmp_path, files)
    folder.verify()
    path = folder.model / next(iter(files))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match="Hash mismatch"):
        model_signing_verify(folder.model, folder.signature, folder.key)
    with pytest.raises(SignatureInvalid, match=f"{path.name}: expected the sha256"):
        verify(KEYRING, folder.data, folder.model)


def test_an_added_or_removed_file_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, FILES)
    (folder.model / "added").write_bytes(b"")
    with pytest.raises(ValueError, match="Extra files"):
        model_signing_verify(folder.model, folder.signature, folder.key)
    with pytest.raises(SignatureInvalid, match="added was added"):
        verify(KEYRING, folder.data, folder.model)
    (folder.model / "added").unlink()
    (folder.model / "empty").unlink()
    with pytest.raises(ValueError, match="Missing files"):
        model_signing_verify(folder.model, folder.signature, folder.key)
    with pytest.raises(SignatureInvalid, match="empty is missing"):
        verify(KEYRING, folder.data, folder.model)


def test_files_that_model_signing_ignores_are_covered_by_our_digest(tmp_path: Path) -> None:
    folder = Folder(tmp_path, FILES)
    (folder.model / ".gitattributes").write_bytes(b"other")
    model_signing_verify(folder.model, folder.signature, folder.key)
    with pytest.raises(SignatureInvalid, match="expected the digest"):
        verify(KEYRING, folder.data, folder.model)


def test_a_symlink_in_a_model_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, FILES)
    (folder.model / "link").symlink_to("weights.bin")
    with pytest.raises(SignatureInvalid, match="neither a file nor a folder"):
        verify(KEYRING, folder.data, folder.model)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, FILES)
    other = new_key()
    folder.key.write_bytes(public_pem(other.public_key()))
    with pytest.raises(ValueError, match="Key mismatch"):
        model_signing_verify(folder.model, folder.signature, folder.key)
    with pytest.raises(KeyUnknown, match=KEYRING.signing_id):
        verify(Keyring.of(other), folder.data, folder.model)


def test_the_statement_equals_the_one_of_model_signing(tmp_path: Path) -> None:
    from model_signing import hashing
    from model_signing._signing.signing import Payload

    folder = Folder(tmp_path, FILES)
    theirs = Payload(hashing.Config().hash(folder.model)).statement.pb
    ours = bundle.statement(folder.named, [(path, sha256(data)) for path, data in FILES.items()])
    assert ours["subject"][0]["digest"] == dict(theirs.subject[0].digest)
    assert [each["name"] for each in ours["predicate"]["resources"]] == [
        each["name"] for each in theirs.predicate["resources"]
    ]
    assert ours["predicate"]["serialization"] | {"ignore_paths": set(bundle.PASSED_OVER)} == {
        **dict(theirs.predicate["serialization"].items()),
        "ignore_paths": set(theirs.predicate["serialization"]["ignore_paths"]),
    }


PARTS = st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=4)
PATHS = st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(PATHS, st.binary(max_size=2), min_size=1, max_size=6))
def test_model_signing_lists_the_same_files_for_any_names(files: dict[str, bytes]) -> None:
    from model_signing._signing.signing import dsse_payload_to_manifest

    said = bundle.statement(Model("ns/digits.v1", "sha256:" + "a" * 64), [(p, sha256(d)) for p, d in files.items()])
    read = [(each.identifier, each.digest.digest_hex) for each in dsse_payload_to_manifest(said).resource_descriptors()]
    assert read == [(each["name"], each["digest"]) for each in said["predicate"]["resources"]]
    assert dict(read) == {path: sha256(data) for path, data in files.items() if not bundle.is_passed_over(path)}


def test_any_relevant_changed_byte_of_a_bundle_is_detected() -> None:
    model = Model("ns/digits.v1", "sha256:" + "a" * 64)
    data = bundle.make(KEYRING, model, [("a", "b" * 64)])
    assert bundle.check(KEYRING, data, model).files == {"a": "b" * 64}
    said = json.loads(data)
    passed = 0
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            claim = bundle.check(KEYRING, changed, model)
        except (SignatureInvalid, KeyUnknown):
            continue
        # Unsigned data that nobody relies on: the hint, the names of unused fields.
        passed += 1
        assert claim.files == {"a": "b" * 64}
        assert json.loads(changed)["dsseEnvelope"]["payload"] == said["dsseEnvelope"]["payload"]
    assert passed < len(data) / 3


@pytest.mark.parametrize(("name", "digest"), [("ns/digits.v2", "a"), ("other/digits.v1", "a"), ("ns/digits.v1", "b")])
def test_the_bundle_of_another_version_is_refused(name: str, digest: str) -> None:
    model = Model("ns/digits.v1", "sha256:" + "a" * 64)
    data = bundle.make(KEYRING, model, [("a", "b" * 64)])
    with pytest.raises(SignatureInvalid, match=r"it is the signature of ns/digits\.v1"):
        bundle.check(KEYRING, data, Model(name, "sha256:" + digest * 64))


def sealed(statement: Any, kind: str = "application/vnd.in-toto+json") -> bytes:
    """A bundle around any statement, with a valid signature."""
    payload = json.dumps(statement).encode()
    signature = base64.b64encode(KEYRING.sign(pae(payload))).decode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": KEYRING.signing_id, "sig": signature}],
    }
    return json.dumps({"mediaType": bundle.MEDIA_TYPE, "dsseEnvelope": envelope}).encode()


STATEMENT = bundle.statement(Model("ns/digits.v1", "sha256:" + "a" * 64), [("a", "b" * 64)])
ROOTLESS = {**STATEMENT, "subject": [{"name": "x", "digest": {"sha256": "c" * 64}}]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a model-signing bundle"),
        (b"{}", "not a model-signing bundle"),
        (json.dumps({"mediaType": bundle.MEDIA_TYPE}).encode(), "not a DSSE envelope"),
        (sealed(STATEMENT, "text/plain"), "payload type of the envelope is not application"),
        (sealed([1]), "not an in-toto statement"),
        (sealed({**STATEMENT, "_type": "x"}), "not an in-toto statement"),
        (sealed({**STATEMENT, "predicateType": "x"}), "not about a model"),
        (sealed({**STATEMENT, "predicate": {}}), "that Assay made"),
        (sealed({**STATEMENT, "predicate": {"resources": [{"digest": "zz"}], "assay": {}}}), "that Assay made"),
        (sealed(ROOTLESS), "contradicts itself"),
    ],
)
def test_an_invalid_bundle_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(SignatureInvalid, match=said):
        bundle.read(KEYRING, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(STATEMENT)), inner, max_size=3),
)


@given(JSON)
def test_any_signed_statement_is_accepted_or_refused(statement: Any) -> None:
    with pytest.raises(SignatureInvalid):
        bundle.read(KEYRING, sealed(statement))


@given(JSON, JSON)
def test_any_envelope_is_accepted_or_refused(envelope: Any, part: Any) -> None:
    for found in (envelope, {"payload": part, "payloadType": "application/vnd.in-toto+json", "signatures": envelope}):
        with pytest.raises((SignatureInvalid, KeyUnknown)):
            bundle.read(KEYRING, json.dumps({"mediaType": bundle.MEDIA_TYPE, "dsseEnvelope": found}).encode())
