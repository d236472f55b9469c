"""Lineage, history, the trail, and exported versions, with a real API server and store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.signing import keys
from assay.store.audit import Action, AuditEvent, AuditObject, AuditTrail, Head
from assay.store.audit.records import digest as sha256_of
from assay.store.audit.signed import Signature
from assay.store.config import StoreConfig
from tests import registry
from tests.cli.conftest import Answer
from tests.cluster.errors import ClusterError
from tests.conftest import Cluster
from tests.objects import Objects

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]
Raw = dict[str, Any]
D1, D2 = registry.digest("1"), registry.digest("2")


@pytest.fixture
def objects(governed: Cluster, namespace: str) -> Objects:
    objects = Objects(governed, namespace)  # type: ignore[arg-type]
    objects.store.ensure_bucket()
    return objects


def put(objects: Objects, manifest: Raw, status: Raw, part: str = "status") -> Raw:
    """Create an object and write its status, as the operator does."""
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    objects.kubectl("create", "-f", "-", *registry.AS_OPERATOR, stdin=json.dumps(manifest))
    patch = json.dumps({"status": status})
    objects.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch, *registry.AS_OPERATOR)
    return objects.get(kind, name)


@pytest.fixture
def served(objects: Objects) -> Objects:
    """A run that became a version, approved, bound, and followed by a Deployment."""
    run = registry.run(
        "digits-3",
        owner="dora",
        parameters={"depth": 3},
        seed=7,
        source={"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e"},
        datasets=[{"name": "digits", "uri": f"s3://assay/runs/{objects.namespace}/d/", "version": "2.1"}],
    )
    dataset = {"name": "digits", "digest": D2, "bytes": 10, "files": 1}
    ended = {"phase": "Succeeded", "datasets": [dataset], "completionTime": "2026-03-01T10:00:00Z"}
    uid = put(objects, run, ended)["metadata"]["uid"]
    version = registry.model_version("digits", 1, namespace=objects.namespace, owner="dora")
    version["spec"]["run"] = {"name": "digits-3", "uid": uid}
    approval = {"alias": "champion", "approver": "rita", "id": "1", "since": "2026-03-01T11:00:00Z"}
    copied = {"uri": f"s3://assay/models/{objects.namespace}/digits/v1/", "digest": D1, "bytes": 10, "files": 1}
    put(
        objects,
        version,
        {
            "phase": "Ready",
            "artifact": copied,
            "aliases": ["champion"],
            "approvals": [{**approval, "fingerprint": "0" * 64, "valid": True}],
            "provenance": {"parameters": {"depth": 3}, "metrics": {"val_f1": {"last": 0.9}}},
        },
    )
    since = "2026-03-02T10:00:00Z"
    put(
        objects,
        registry.model_alias("digits", "champion", 1),
        {
            "phase": "Bound",
            "boundVersion": 1,
            "boundDigest": D1,
            "boundAt": since,
            "history": [{"version": 1, "digest": D1, "from": since, "actor": "argo"}],
            "serving": [{"kind": "Deployment", "name": "digits", "version": 1, "ready": True}],
        },
    )
    server = registry.deployment("digits", annotations={"assay.dev/serve": "digits.champion"})
    objects.kubectl("create", "-f", "-", stdin=json.dumps(server))
    return objects


def test_lineage_goes_from_the_deployment_to_the_data(assay: Assay, served: Objects) -> None:
    lines = assay("lineage", "deploy/digits").lines
    kinds = [line.lstrip("└─├│ ") for line in lines]
    assert kinds[0].startswith("deployment digits")
    assert kinds[1].startswith("follows alias digits.champion")
    assert "by=argo" in kinds[1]
    assert kinds[2].startswith("is version digits.v1  digest=sha256:111111111111…")
    assert kinds[3] == "approved by rita  for=champion  since=2026-03-01T11:00:00Z"
    assert kinds[4].startswith("made by run digits-3")
    assert kinds[5] == "from code https://git.example.com/ml/digits  revision=3f2c0e"
    assert "version=2.1  digest=sha256:222222222222…" in kinds[6]
    assert kinds[7] == "with parameters  depth=3  seed=7"


@pytest.mark.parametrize("what", ["digits.champion", "digits@champion", "digits.v1", "models:/digits/1", "digits-3"])
def test_lineage_can_start_at_any_object(assay: Assay, served: Objects, what: str) -> None:
    found = assay("lineage", what, "-o", "json").json()
    kinds = {node["kind"] for node in found["nodes"]}
    assert {"version", "run", "code", "data", "parameters"} <= kinds
    known = {node["id"] for node in found["nodes"]}
    assert found["root"] in known
    assert {end for edge in found["edges"] for end in (edge["from"], edge["to"])} <= known


def test_lineage_of_a_version_with_a_deleted_run_uses_its_provenance(assay: Assay, served: Objects) -> None:
    served.kubectl("delete", "run", "digits-3")
    lines = assay("lineage", "digits.v1").lines
    assert any("made by run digits-3" in line and "state=not in the cluster" in line for line in lines)
    assert any("with parameters  depth=3" in line for line in lines)


def test_lineage_is_drawn_for_graphviz_and_mermaid(assay: Assay, served: Objects) -> None:
    dot = assay("lineage", "digits.champion", "-o", "dot").out
    assert dot.startswith("digraph lineage {")
    assert '"alias/digits.champion" -> "version/digits.v1" [label="is"];' in dot
    mermaid = assay("lineage", "digits.champion", "-o", "mermaid").lines
    assert mermaid[0] == "flowchart TD"
    assert any("-->|made by|" in line for line in mermaid)


def test_unknown_objects_get_suggestions(assay: Assay, served: Objects) -> None:
    answer = assay("lineage", "digit.champion")
    assert answer.code == 3
    assert "did you mean digits.champion?" in answer.err
    serves_nothing = registry.deployment("other")
    served.kubectl("create", "-f", "-", stdin=json.dumps(serves_nothing))
    answer = assay("lineage", "deployment/other")
    assert answer.code == 1
    assert "does not follow an alias" in answer.err


# The trail


@pytest.fixture
def trail(objects: Objects) -> Objects:
    """A trail: two versions, an approval, two bindings and a rollback, and its head where the operator keeps it."""
    written = AuditTrail(objects.store, objects.namespace)

    def append(action: Action, kind: str, name: str, hour: int, actor: str, **more: Any) -> None:
        about = AuditObject(kind=kind, namespace=objects.namespace, name=name)
        time = f"2026-03-14T{hour:02}:00:00Z"
        written.append(AuditEvent(event=f"e{hour}", time=time, actor=actor, action=action, object=about, **more))

    source = {"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e"}
    first = {"run": "digits-3", "source": source, "datasets": [{"name": "digits", "version": "2.1", "digest": D2}]}
    given = {"alias": "champion", "id": "1", "approver": "rita"}
    append(Action.VERSION_REGISTERED, "ModelVersion", "digits.v1", 8, "dora", digests={"artifact": D1}, after=first)
    append(Action.APPROVAL_GIVEN, "ModelVersion", "digits.v1", 9, "rita", digests={"artifact": D1}, after=given)
    for hour, action, version, digest in [
        (10, Action.ALIAS_BOUND, 1, D1),
        (13, Action.ALIAS_BOUND, 2, D2),
        (16, Action.ROLLED_BACK, 1, D1),
    ]:
        after = {"version": version, "digest": digest}
        append(action, "ModelAlias", "digits.champion", hour, "argo", after=after, reason=f"because {hour}")
    heads = json.dumps({"data": {objects.namespace: str(written.head)}})
    cluster = objects.cluster
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "assay-audit-heads"}}
    cluster.kubectl("apply", "-n", "assay-system", "-f", "-", stdin=json.dumps(config))
    cluster.kubectl("patch", "configmap", "assay-audit-heads", "-n", "assay-system", "--type=merge", "-p", heads)
    return objects


def test_history_lists_the_bindings_of_an_alias(assay: Assay, trail: Objects) -> None:
    lines = assay("history", "digits.champion").lines
    assert [line.split()[:3] for line in lines[1:]] == [
        ["v1", "2026-03-14T16:00:00Z", "now"],
        ["v2", "2026-03-14T13:00:00Z", "2026-03-14T16:00:00Z"],
        ["v1", "2026-03-14T10:00:00Z", "2026-03-14T13:00:00Z"],
    ]
    assert "rita" in lines[1]
    assert "rita" not in lines[2]


def test_history_at_a_time_shows_actor_version_and_origin(assay: Assay, trail: Objects) -> None:
    answer = assay("history", "digits.champion", "--at", "2026-03-14T12:05Z").out
    assert "digits.champion pointed to v1 at 2026-03-14T12:05Z" in answer
    assert "approved by rita" in answer
    assert "https://git.example.com/ml/digits at 3f2c0e" in answer
    assert f"digits 2.1 {D2}" in answer
    found = assay("history", "digits.champion", "--at", "2026-03-14T14:05+01:00", "-o", "json").json()
    assert (found["version"], found["until"]) == (2, "2026-03-14T16:00:00Z")
    every = assay("history", "digits.champion", "-o", "json").json()["items"]
    assert [[approval["approver"] for approval in each["approvals"]] for each in every] == [["rita"], [], ["rita"]]
    before = assay("history", "digits.champion", "--at", "2026-03-14T09:59Z")
    assert (before.code, before.out) == (6, "")
    wrong = assay("history", "digits.champion", "--at", "yesterday")
    assert wrong.code == 2
    assert "2026-03-14T14:05Z" in wrong.err


def test_an_untouched_trail_is_intact_and_a_changed_one_is_not(assay: Assay, trail: Objects) -> None:
    answer = assay("audit", "verify")
    assert answer.code == 0, answer.err
    assert "intact, 5 records" in answer.out
    key = f"audit/{trail.namespace}/000000000003.json"
    trail.store.put_bytes(key, trail.store.get_bytes(key, 1 << 20).replace(b'"argo"', b'"rita"'), "application/json")
    answer = assay("audit", "verify")
    assert answer.code == 6
    assert "NOT INTACT" in answer.out
    assert "record 3 or record" in answer.out or "record 3" in answer.out
    found = assay("audit", "verify", "-o", "json")
    assert found.code == 6
    assert json.loads(found.out)["findings"][0]["kind"] in ("changed", "overwritten")


def test_the_operators_head_reveals_a_truncated_trail(assay: Assay, trail: Objects) -> None:
    trail.store.delete(f"audit/{trail.namespace}/000000000005.json")
    answer = assay("audit", "verify")
    assert answer.code == 6
    assert "the trail ends with record 4" in answer.out
    # Who may not read the head is trail that nothing is proven, and what would prove it.
    unseen = assay("audit", "verify", "--as", "nobody")
    assert unseen.code == 6
    assert "NOT PROVEN, 4 records" in unseen.out
    assert "not compared with the operator's head" in unseen.err
    assert "cannot prove that the audit trail" in unseen.err
    assert "ClusterRole assay-auditor" in unseen.err
    assert json.loads(assay("audit", "verify", "--as", "nobody", "-o", "json").out)["intact"] is False


def test_the_head_is_found_in_the_operators_namespace(assay: Assay, trail: Objects, governed: Cluster) -> None:
    """Any user finds the operator's namespace; reading the head there needs a right."""
    governed.kubectl("create", "namespace", elsewhere := f"{trail.namespace}-platform")
    heads = governed.kubectl("get", "configmap", "assay-audit-heads", "-n", "assay-system", "-o", "json")
    move = {**json.loads(heads), "metadata": {"name": "assay-audit-heads", "namespace": elsewhere}}
    annotate = ("annotate", "--overwrite", "validatingadmissionpolicy", "assay-status")
    place = "assay.dev/operator-namespace"
    hidden = {"data": {trail.namespace: None}}
    here = ("patch", "configmap", "assay-audit-heads", "-n", "assay-system", "--type=merge", "-p")
    try:
        governed.kubectl("create", "-f", "-", stdin=json.dumps(move))
        governed.kubectl(*here, json.dumps(hidden))
        assert assay("audit", "verify").code == 6
        assert "intact" in assay("audit", "verify", ASSAY_OPERATOR_NAMESPACE=elsewhere).lines[-1]
        governed.kubectl(*annotate, f"{place}={elsewhere}")
        assert "intact" in assay("audit", "verify").lines[-1]
        unread = assay("audit", "verify", "--as", "nobody")
        assert f'in the namespace "{elsewhere}"' in unread.err, "it is found, and may not be read"
    finally:
        governed.kubectl(*annotate, f"{place}=assay-system")
        governed.kubectl("delete", "namespace", elsewhere, "--wait=false")


def test_records_without_the_operators_signature_are_reported(assay: Assay, trail: Objects, tmp_path: Path) -> None:
    ours, theirs = keys.new_key(), keys.new_key()
    public = tmp_path / "public-keys.pem"
    public.write_bytes(keys.public_pem(ours.public_key()))
    kept = Head(5, sha256_of(trail.store.get_bytes(f"audit/{trail.namespace}/000000000005.json", 1 << 20)))

    def append(name: str, key: keys.PrivateKey | None, hint: Head) -> Head:
        ring = keys.Keyring.of(key)
        chain = AuditTrail(
            trail.store,
            trail.namespace,
            hint,
            sign=lambda line: Signature(ring.signing_id, ring.sign(line)) if key else None,
        )
        thing = AuditObject(kind="ModelAlias", namespace=trail.namespace, name="digits.champion")
        return chain.append(AuditEvent(event=name, actor="rita", action=Action.ALIAS_BOUND, object=thing)).head

    head = append("signed", ours, kept)
    verify = ("audit", "verify", f"--expect={head}", f"--key={public}")
    assert "intact, 6 records" in assay(*verify).lines[-1]
    assert assay(*verify, "-o", "json").json()["signed"] == 1
    head = append("bare", None, head)
    answer = assay(*verify)
    assert answer.code == 6
    assert "unsigned: record 7 is not signed" in answer.out
    append("foreign", theirs, head)
    assert "forged: record 8: it is signed with the key" in assay(*verify).out
    nothing = assay("audit", "verify", f"--key={tmp_path / 'none'}")
    assert nothing.code == 2


def test_an_export_works_without_a_store(assay: Assay, trail: Objects, tmp_path: Path) -> None:
    target = tmp_path / "trail.jsonl"
    head = tmp_path / "head.txt"
    assert "5 records, head 5:" in assay("audit", "export", "--to", str(target), "--head", str(head)).out
    without = {"ASSAY_STORE_ENDPOINT": ""}
    answer = assay("history", "digits.champion", "--from", str(target), **without)
    assert len(answer.lines) == 4
    check = ("audit", "verify", "--from", str(target))
    assert "intact, 5 records" in assay(*check, "--expect", f"@{head}", **without).lines[-1]
    assert assay(*check, **without).code == 6, "the end of an export may have been cut"
    assert len(assay("audit", "list", "--object", "digits.champion", "--from", str(target), **without).lines) == 4
    nothing = assay("audit", "list", **without)
    assert nothing.code == 2
    assert "Secret assay-store" in nothing.err


def test_keys_of_the_store_come_from_a_secret(assay: Assay, trail: Objects) -> None:
    settings = StoreConfig.from_environment(trail.cluster.store.environment())
    trail.kubectl(
        "create",
        "secret",
        "generic",
        "assay-store",
        f"--from-literal=endpoint={settings.endpoint}",
        f"--from-literal=bucket={settings.bucket}",
        f"--from-literal=accessKey={settings.access_key}",
        f"--from-literal=secretKey={settings.secret_key}",
    )
    without = {"ASSAY_STORE_ENDPOINT": ""}
    assert len(assay("audit", "list", **without).lines) == 6
    trail.kubectl("patch", "secret", "assay-store", "--type=merge", "-p", '{"data": {"secretKey": null}}')
    answer = assay("audit", "list", **without)
    assert answer.code == 4
    assert "has no secretKey" in answer.err


# A manifest for elsewhere


def test_an_exported_version_is_accepted_with_allowed_prefixes(
    assay: Assay, served: Objects, governed: Cluster
) -> None:
    answer = assay("export", "digits.champion")
    uri = f"s3://assay/models/{served.namespace}/digits/v1/"
    assert f"# The operator of the other cluster must be able to read {uri}." in answer.lines
    other = f"{served.namespace}-other"
    governed.create_namespace(other)
    try:
        with pytest.raises(ClusterError, match="assay-versions"):
            governed.kubectl("create", "-n", other, "-f", "-", stdin=answer.out)
        prefix = f"s3://assay/models/{served.namespace}/digits/"
        governed.kubectl("annotate", "namespace", other, f"assay.dev/allowed-prefixes={prefix}")
        governed.kubectl("create", "-n", other, "-f", "-", stdin=answer.out)
        made = json.loads(governed.kubectl("get", "mv", "digits.v1", "-n", other, "-o", "json"))
    finally:
        governed.delete_namespace(other)
    assert made["spec"]["artifact"] == {"uri": uri, "digest": D1, "size": 10}
    assert made["spec"]["provenance"]["metrics"]["val_f1"]["last"] == 0.9
    assert "annotations" not in made["metadata"]


def test_a_version_without_registered_bytes_cannot_be_exported(assay: Assay, objects: Objects) -> None:
    objects.apply(registry.model_version("digits", 4, namespace=objects.namespace))
    answer = assay("export", "digits.v4")
    assert answer.code == 1
    assert "no registered copy" in answer.err
