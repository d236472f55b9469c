"""What an attacker gets from the operator's rights, its record and its port; each row has longer tests elsewhere."""

import asyncio
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.controllers.runtime.policy_watch import PolicyWatch
from assay.controllers.scrapers import Scrapers
from assay.kube.aio import Kube
from assay.kube.shallow import CUT, loads
from assay.recorder.artifacts import Artifacts
from assay.recorder.ledger import Ledger
from assay.signing.keys import Keyring, new_key
from assay.store import tenancy
from assay.store.audit import Action, AuditEvent, AuditObject, AuditTrail, Head, verify_store
from assay.store.audit.signed import Signature
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests import operators, registry
from tests.attackers import SCIENTIST, Realm, stopped
from tests.unit.recorder.memory import MemoryStore

pytestmark = [pytest.mark.integration, pytest.mark.attacks]


@pytest.fixture
def store(realm: Realm) -> ObjectStore:
    found = ObjectStore(StoreConfig.from_environment(realm.cluster.store.environment()))
    found.ensure_bucket()
    return found


def test_e01_delete_the_binding_of_a_policy(realm: Realm) -> None:
    kubeconfig = realm.cluster.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)

    async def look() -> str:
        kube = Kube(4)
        await kube.connect(str(kubeconfig))
        try:
            return await PolicyWatch(kube, "", required=True).look()
        finally:
            await kube.close()

    with registry.without_policy(realm.cluster, "assay-approvals"):
        assert asyncio.run(look()) == "ValidatingAdmissionPolicyBinding assay-approvals is missing"
    assert asyncio.run(look()) == ""


def test_e02_read_a_secret_as_the_operator(realm: Realm) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "e02"}, "stringData": {"password": "hidden"}}
    realm.admin("create", "--filename=-", stdin=secret)
    # kubectl patch reads the object first; an apply on the server's side is a patch and nothing else.
    outcome = realm.apply(registry.OPERATOR, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "e02"}})
    stopped("E02", outcome)
    assert "hidden" not in outcome.said
    for verb in ("get", "describe"):
        assert not realm.act(registry.OPERATOR, verb, "secret", "e02").done


def test_e03_read_the_records_of_an_earlier_namespace(realm: Realm, store: ObjectStore) -> None:
    prefix = f"runs/{realm.namespace}/_/old/{secrets.token_hex(8)}"
    store.put_bytes(f"{prefix}/run.json", b'{"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}')
    since = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    for key in (
        prefix,
        f"{prefix}/pods/p/artifacts/model",
        f"runs/{realm.namespace}/",
        f"runs/{realm.namespace}/_/old",
    ):
        assert tenancy.is_own(key, realm.namespace)
        assert tenancy.earlier(store, key, since) == prefix
    assert tenancy.earlier(store, prefix, datetime(2026, 1, 1, tzinfo=UTC)) == ""


def test_e04_append_a_record_with_the_store_s_own_keys(store: ObjectStore) -> None:
    ring, head = Keyring.of(new_key()), Head(0, "0" * 64)
    namespace = f"e04-{secrets.token_hex(4)}"

    def append(trail: AuditTrail, name: str) -> Head:
        thing = AuditObject(kind="ModelAlias", namespace=namespace, name="digits.champion")
        return trail.append(AuditEvent(event=name, actor="rita", action=Action.ALIAS_BOUND, object=thing)).head

    def check(signature: Signature, line: bytes) -> str:
        ring.verify(signature.key, signature.value, line)
        return ""

    own = AuditTrail(store, namespace, sign=lambda line: Signature(ring.signing_id, ring.sign(line)))
    head = append(own, "own")
    assert verify_store(store, namespace, [head], check=check).proven
    append(AuditTrail(store, namespace, head), "forged")
    assert [each.kind for each in verify_store(store, namespace, [head], check=check).findings] == ["unsigned"]


def test_e05_cut_the_end_off_a_trail(store: ObjectStore) -> None:
    namespace = f"e05-{secrets.token_hex(4)}"
    trail = AuditTrail(store, namespace)
    thing = AuditObject(kind="ModelAlias", namespace=namespace, name="digits.champion")
    for name in ("first", "second"):
        head = trail.append(AuditEvent(event=name, actor="rita", action=Action.ALIAS_BOUND, object=thing)).head
    store.delete(f"audit/{namespace}/000000000002.json")
    assert verify_store(store, namespace).word == "NOT PROVEN"
    assert verify_store(store, namespace, [head]).word == "NOT INTACT"


def test_e06_fill_the_bucket_from_one_run(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    for number in range(3):
        (tmp_path / "artifacts" / str(number)).write_bytes(b"12345")
    store = MemoryStore()
    prefix = "runs/ns/e/r/u/pods/p"
    artifacts = Artifacts(tmp_path / "artifacts", prefix, Ledger(tmp_path / "journal"), store, max_bytes=10)
    artifacts.finish()
    assert sum(len(data) for data in store.objects.values()) == 10
    assert len(artifacts.missing()) == 1


def test_e07_read_the_operator_s_metrics() -> None:
    for header in ("", "Basic cml0YTpyaXRh", "Bearer ", "Bearer"):
        answer = asyncio.run(Scrapers().judge(header))
        assert answer.status == 401
        assert "a bearer token of the cluster is required" in answer.why


def test_e08_stop_the_operator_with_a_deeply_nested_object(realm: Realm) -> None:
    path = f"/apis/assay.dev/v1alpha1/namespaces/{realm.namespace}/experiments"
    manifest = registry.experiment("e08", suspend=True, owner=SCIENTIST)
    manifest["spec"]["template"]["job"]["extra"] = "HERE"
    text = json.dumps(manifest).replace('"HERE"', "[" * 9_900 + "]" * 9_900)
    realm.cluster.kubectl("create", "--raw", path, "--filename=-", f"--as={SCIENTIST}", stdin=text)
    try:
        stored = realm.admin("get", "--raw", f"{path}/e08")
    finally:
        realm.admin("delete", "experiment", "e08", "--wait=false")
    assert stored.count("[") > 9_900, "the API server accepts it"
    assert CUT in json.dumps(loads(stored.encode())["spec"]["template"]["job"]["extra"])
