"""The condition Signed, and the gate that asks for it, on a real API server and store: keys come, turn and go."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.api import names
from assay.signing.keygen import make_keys
from tests import operators, registry
from tests.cluster.local import LocalCluster
from tests.integration.test_registry import Models, open_policy
from tests.objects import condition

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
ALIAS = "digits.champion"


class Signing(operators.OperatorProcess):
    """An operator with a folder in which its keys may be."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.keys = folder / "keys"
        environment = {
            "ASSAY_SIGNING_KEY_FILE": str(self.keys / "signing.key"),
            "ASSAY_SIGNING_PUBLIC_KEYS_FILE": str(self.keys / "public-keys.pem"),
            "ASSAY_OBSERVE_SECONDS": "0.2",
        }
        super().__init__(cluster, folder / "operator.log", environment)

    def forget_keys(self) -> None:
        """Take every key away."""
        for path in self.keys.glob("*"):
            path.unlink()


@pytest.fixture(scope="module")
def operator(control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signing]:
    operators.install(control_plane)
    with Signing(control_plane, tmp_path_factory.mktemp("operator")) as process:
        yield process


@pytest.fixture
def models(control_plane: LocalCluster, operator: Signing, namespace: str) -> Models:
    assert operator.running, operator.tail()
    operator.forget_keys()
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    return models


def signed(models: Models, what: str, holds: Callable[[Raw], Any]) -> Raw:
    """Wait until something holds of the condition Signed of version 1; return the version."""
    return models.wait("modelversion", "digits.v1", f"signed: {what}", lambda o: holds(condition(o, "Signed")), 20)


def where(models: Models) -> str:
    return f"models/{models.namespace}/digits/signatures/v1.sig"


def ask_for_a_signature(models: Models) -> None:
    evidence = {"artifactVerified": True, "provenanceVerified": False, "signed": True}
    models.apply(open_policy("signed", evidence=evidence))


def held(models: Models, words: str) -> Raw:
    return models.alias(ALIAS, f"held: {words}", lambda o: words in (o["status"].get("message") or ""))


def test_a_version_is_signed_when_it_is_registered(models: Models, operator: Signing) -> None:
    key = make_keys(operator.keys)
    models.registered("digits", 1, b"one")
    version = signed(models, "True", lambda c: c["status"] == "True")
    uri = f"s3://{models.store.config.bucket}/{where(models)}"
    assert version["status"]["signature"] == {"uri": uri, "keyId": key}
    found = condition(version, "Signed")
    assert (found["reason"], found["message"]) == ("Verified", f"{uri}, key {key}")

    ask_for_a_signature(models)
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound(ALIAS, 1)


def test_versions_are_signed_once_a_key_exists(models: Models, operator: Signing) -> None:
    models.registered("digits", 1, b"one")
    version = signed(models, "False", lambda c: c["status"] == "False")
    assert condition(version, "Signed")["reason"] == "NoKey"
    assert version["status"]["phase"] == "Ready"
    ask_for_a_signature(models)
    models.apply(registry.model_alias("digits", "champion", 1))
    held(models, f"the artifact carries no valid signature: {where(models)} does not exist")

    make_keys(operator.keys)
    signed(models, "True", lambda c: c["status"] == "True")
    models.bound(ALIAS, 1)


def test_a_tampered_signature_blocks_the_gate(models: Models, operator: Signing) -> None:
    make_keys(operator.keys)
    models.registered("digits", 1, b"one")
    signed(models, "True", lambda c: c["status"] == "True")
    data = bytearray(models.store.get_bytes(where(models), 1 << 20))
    position = data.index(b'"payload":"') + 40
    data[position] = ord("A") if data[position] != ord("A") else ord("B")
    models.store.put_bytes(where(models), bytes(data))

    ask_for_a_signature(models)
    models.apply(registry.model_alias("digits", "champion", 1))
    held(models, "the artifact carries no valid signature: the signature by the key")
    version = signed(models, "False", lambda c: c["status"] == "False")
    assert condition(version, "Signed")["reason"] == "SignatureInvalid"
    assert "signature" not in version["status"]
    assert models.store.get_bytes(where(models), 1 << 20) == bytes(data)

    models.store.delete(where(models))
    models.kubectl("annotate", "modelversion", "digits.v1", "note=looked-at")
    signed(models, "True", lambda c: c["status"] == "True")
    models.bound(ALIAS, 1)


def test_the_signature_of_another_version_blocks_the_gate(models: Models, operator: Signing) -> None:
    make_keys(operator.keys)
    for version, data in ((1, b"one"), (2, b"two")):
        models.registered("digits", version, data)
    other = models.store.get_bytes(where(models).replace("v1", "v2"), 1 << 20)
    models.store.put_bytes(where(models), other)
    ask_for_a_signature(models)
    models.apply(registry.model_alias("digits", "champion", 1))
    held(models, f"it is the signature of {models.namespace}/digits.v2 with")


def test_a_withdrawn_key_blocks_the_gate(models: Models, operator: Signing) -> None:
    old = make_keys(operator.keys)
    models.registered("digits", 1, b"one")
    signed(models, "True", lambda c: c["status"] == "True")
    new = make_keys(operator.keys, rotate=True)
    models.registered("digits", 2, b"two")
    rotated = models.wait("modelversion", "digits.v2", "its signature", lambda o: o["status"]["signature"])
    assert rotated["status"]["signature"]["keyId"] == new

    ask_for_a_signature(models)
    models.apply(registry.model_alias("digits", "staging", 1))
    models.bound("digits.staging", 1)
    (operator.keys / "public-keys.pem").unlink()
    version = signed(models, "False", lambda c: c["status"] == "False")
    assert condition(version, "Signed")["reason"] == "KeyUnknown"
    models.apply(registry.model_alias("digits", "champion", 1))
    held(models, f"the artifact carries no valid signature: it is signed with the key {old}")
    models.want(ALIAS, 2)
    models.bound(ALIAS, 2)


def test_unreadable_keys_are_reported_and_do_not_block_aliases(models: Models, operator: Signing) -> None:
    (operator.keys / "signing.key").write_text("garbage")
    models.registered("digits", 1, b"one")
    version = signed(models, "False", lambda c: c["status"] == "False")
    found = condition(version, "Signed")
    assert found["reason"] == "KeyUnusable"
    assert "signing.key holds no private key in PEM" in found["message"]
    models.apply(open_policy())
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound(ALIAS, 1)


def test_a_restarted_operator_signs_and_writes_nothing_again(models: Models, operator: Signing) -> None:
    make_keys(operator.keys)
    models.registered("digits", 1, b"one")
    signed(models, "True", lambda c: c["status"] == "True")
    before = models.get("modelversion", "digits.v1")["metadata"]["resourceVersion"]
    data = models.store.get_bytes(where(models), 1 << 20)
    operator.kill()
    operator.start().wait_ready()
    models.registered("digits", 2, b"two")
    assert models.get("modelversion", "digits.v1")["metadata"]["resourceVersion"] == before
    assert models.store.get_bytes(where(models), 1 << 20) == data
    assert names.LABEL_BOUND not in models.get("modelversion", "digits.v1")["metadata"].get("labels", {})
