"""Data sets on real pods: what was declared is there, read-only, before the training begins; or it never does."""

import hashlib
import json
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.digests import bytes_digest, folder_digest
from assay.store.verify import verify_run
from tests import registry
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.objects import Objects, condition, experiment, run

pytestmark = pytest.mark.e2e

Raw = dict[str, Any]
FILES = {"train.csv": b"1,2\n" * 1000, "deep/labels.json": b'{"a": 1}'}
DIGEST = folder_digest((path, hashlib.sha256(data).hexdigest()) for path, data in FILES.items())
BYTES = sum(map(len, FILES.values()))
OF_LOSES = "assay.dev/run=loses"
ALLOWED = "assay.dev/allowed-prefixes"


def put(objects: Objects, prefix: str, store: ObjectStore | None = None) -> str:
    """Put the files into the store below a prefix, and return the address of the folder."""
    target = store or objects.store
    for path, data in FILES.items():
        target.put_bytes(f"{prefix}/{path}", data)
    return f"s3://{target.config.bucket}/{prefix}/"


@pytest.fixture
def shared(objects: Objects) -> str:
    """An address that the platform team has allowed to the namespace."""
    uri = put(objects, f"shared/{objects.namespace}/digits")
    allowed = uri.removesuffix("digits/")
    objects.cluster.kubectl("annotate", "--overwrite", "namespace", objects.namespace, f"{ALLOWED}={allowed}")
    return uri


def ended(objects: Objects, name: str) -> Raw:
    return objects.wait_phase("run", name, "Succeeded", "Failed")


def test_a_data_set_is_present_and_read_only_before_the_training(objects: Objects, shared: str) -> None:
    script = """
        root = pathlib.Path('/assay/data/digits')
        found = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob('*') if path.is_file()}
        assert found == {'train.csv': 4000, 'deep/labels.json': 8}, found
        for change in (
            lambda: (root / 'new').write_text('x'),
            lambda: (root / 'train.csv').write_text('x'),
            lambda: (root / 'train.csv').unlink(),
            lambda: (root / 'train.csv').chmod(0o666),
            lambda: root.rename('/assay/data/other'),
        ):
            try:
                change()
            except OSError as error:
                assert error.errno == 30, error
            else:
                raise AssertionError('the data can be changed')
        assert not os.path.exists('/var/run/assay'), 'credentials are visible to the training'
        assert not os.path.exists('/var/lib/assay'), 'the training could write what is said of the data'
        hidden = [v for v in os.environ if 'FETCH' in v or 'SOURCE' in v or 'SECRET' in v]
        assert not hidden, hidden
        log(step=0, score=1)
    """
    dataset = {"name": "digits", "uri": shared, "version": "2.1", "digest": DIGEST}
    objects.apply(run("reads", script, datasets=[dataset]))
    found = ended(objects, "reads")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    expected = [{"name": "digits", "digest": DIGEST, "bytes": BYTES, "files": 2}]
    assert found["status"]["datasets"] == expected
    assert [image["container"] for image in found["status"]["images"]] == ["train"]
    pod = found["status"]["attempts"][-1]["pod"]
    assert f"data set digits: {DIGEST} verified" in objects.kubectl("logs", pod, "-c", "assay-fetch-data")
    assert objects.read_json(found, f"pods/{pod}/datasets.json")["datasets"] == [{**expected[0], "uri": shared}]
    listed = {entry.path for entry in verify_run(objects.store, objects.prefix(found), deep=True).files}
    assert f"pods/{pod}/datasets.json" in listed
    assert not objects.all("secrets", "assay.dev/run"), "credentials outlive the run"


def test_a_tampered_data_set_stops_the_pod_before_the_training_and_is_not_tried_again(
    objects: Objects, shared: str
) -> None:
    objects.store.put_bytes(f"shared/{objects.namespace}/digits/train.csv", b"9" + FILES["train.csv"][1:])
    tampered = {**FILES, "train.csv": b"9" + FILES["train.csv"][1:]}
    found_digest = folder_digest((path, hashlib.sha256(data).hexdigest()) for path, data in tampered.items())
    dataset = {"name": "digits", "uri": shared, "digest": DIGEST}
    script = "log(step=0, score=1)\nartifacts.joinpath('ran').write_text('x')"
    objects.apply(run("tampered", script, datasets=[dataset], job={"backoffLimit": 3}))
    found = ended(objects, "tampered")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DatasetMismatch"), found["status"]
    assert found["status"]["message"] == (
        f"data set digits: {shared}: expected the digest {DIGEST}, found {found_digest}"
    )
    assert [attempt["exitCode"] for attempt in found["status"]["attempts"]] == [4], "it was tried again"
    assert "metrics" not in found["status"]
    assert "datasets" not in found["status"] or not found["status"]["datasets"]
    [pod] = objects.all("pods", "assay.dev/run=tampered")
    assert not pod["status"]["containerStatuses"][0].get("containerID"), "the training container was started"
    assert not [path for path in objects.stored(found) if path.endswith("artifacts/ran")]
    assert condition(found, "Recorded")["status"] == "True"
    assert "DatasetMismatch" in objects.kubectl("describe", "run", "tampered")


def test_a_data_set_without_a_digest_gets_one_that_a_version_keeps(objects: Objects, shared: str) -> None:
    script = """
        data = pathlib.Path('/assay/data/digits/train.csv').read_bytes()
        artifacts.joinpath('model').write_bytes(data[:10])
        log(step=0, score=len(data))
    """
    manifest = experiment("finds", script, register={"model": "digits"})
    manifest["spec"]["template"] |= {
        "datasets": [{"name": "digits", "uri": shared}, {"name": "one", "uri": f"{shared}train.csv"}],
        "model": {"path": "model"},
    }
    objects.apply(manifest)
    found = ended(objects, "finds-0")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    digests = {each["name"]: each["digest"] for each in found["status"]["datasets"]}
    assert digests == {"digits": DIGEST, "one": bytes_digest(FILES["train.csv"])}
    version = objects.wait("mv", "digits.v1", "ready", lambda o: o.get("status", {}).get("phase") == "Ready")
    recorded = {each["name"]: each["digest"] for each in version["spec"]["provenance"]["datasets"]}
    assert recorded == digests


def test_another_namespaces_data_is_refused_by_the_api_server_and_by_the_operator(objects: Objects) -> None:
    uri = put(objects, "runs/somebody-else/_/r/u/pods/p/artifacts/model")
    manifest = run("thief", "log(step=0, score=1)", datasets=[{"name": "loot", "uri": uri}])
    with pytest.raises(ClusterError, match="data set loot is outside the prefixes that this namespace may read"):
        objects.apply(manifest)
    # As the policy lets the operator write it, and as it would get there were the policy not installed.
    manifest["spec"]["owner"] = "somebody"
    objects.kubectl("create", "-f", "-", *registry.AS_OPERATOR, stdin=json.dumps(manifest))
    found = ended(objects, "thief")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "NotEntitled")
    own = " ".join(f"s3://assay/{kind}/{objects.namespace}/" for kind in ("runs", "models"))
    assert found["status"]["message"] == (
        f"data set loot: {uri} is outside the prefixes that this namespace may read ({own}): set secretRef to a "
        "Secret with your own keys, or ask the platform team to add a prefix to the namespace's "
        "annotation assay.dev/allowed-prefixes"
    )
    assert not objects.get("job", "thief")
    assert not objects.all("secrets", "assay.dev/run")


def test_a_data_set_that_is_no_longer_allowed_is_not_read(objects: Objects, shared: str) -> None:
    manifest = experiment("late", "log(step=0, score=1)", suspend=True)
    manifest["spec"]["template"]["datasets"] = [{"name": "digits", "uri": shared}]
    objects.apply(manifest)
    objects.wait_phase("experiment", "late", "Suspended")
    objects.cluster.kubectl("annotate", "namespace", objects.namespace, f"{ALLOWED}-")
    objects.kubectl("patch", "exp", "late", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    found = ended(objects, "late-0")
    assert found["status"]["reason"] == "NotEntitled", found["status"]


@pytest.fixture
def partner(objects: Objects) -> Callable[[str], Raw]:
    """A bucket of somebody else's, whose keys are in the Secret that is returned for a name."""
    endpoint = objects.cluster.store
    root = StoreConfig(
        endpoint.endpoint, access_key=endpoint.root_access_key, secret_key=endpoint.root_secret_key,
        bucket=f"partner-{uuid.uuid4().hex[:8]}",
    )  # fmt: skip
    store = ObjectStore(root)
    store.ensure_bucket()
    put(objects, "digits", store)
    key, secret = f"user-{uuid.uuid4().hex[:8]}", "partner-secret"
    administrator = MinioAdmin(
        endpoint=urllib.parse.urlsplit(root.endpoint).netloc,
        credentials=StaticProvider(root.access_key, root.secret_key),
        secure=root.secure,
    )
    administrator.user_add(key, secret)
    resources = [f"arn:aws:s3:::{root.bucket}", f"arn:aws:s3:::{root.bucket}/*"]
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": resources}
    administrator.policy_add(key, policy={"Version": "2012-10-17", "Statement": [statement]})
    administrator.policy_set(key, user=key)

    def named(name: str) -> Raw:
        data = {"accessKey": key, "secretKey": secret}
        metadata = {"name": name, "annotations": {"bucket": root.bucket}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}

    return named


def test_a_data_set_is_read_with_a_secret_that_the_run_names(
    objects: Objects, shared: str, partner: Callable[[str], Raw]
) -> None:
    secret = partner("partner-keys")
    bucket = secret["metadata"]["annotations"]["bucket"]
    script = """
        assert sorted(os.listdir('/assay/data')) == ['ours', 'theirs'], os.listdir('/assay/data')
        assert not [v for v in os.environ if 'partner-secret' in os.environ[v]]
        log(step=0, score=1)
    """
    datasets = [
        {"name": "theirs", "uri": f"s3://{bucket}/digits/", "secretRef": {"name": "partner-keys"}, "digest": DIGEST},
        {"name": "ours", "uri": shared},
    ]
    objects.apply(run("keyed", script, datasets=datasets))
    found = objects.wait(
        "run", "keyed", "the missing Secret", lambda o: "CreateContainerConfigError" in str(o.get("status"))
    )
    assert 'container assay-fetch-data-1: secret "partner-keys" not found' in found["status"]["message"]
    objects.apply(secret)
    found = ended(objects, "keyed")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert {each["name"]: each["digest"] for each in found["status"]["datasets"]} == {"theirs": DIGEST, "ours": DIGEST}


def test_a_secret_does_not_grant_the_rights_of_the_operator(objects: Objects, partner: Callable[[str], Raw]) -> None:
    """The run's own keys cannot read the operator's bucket, and nothing steps in for them."""
    uri = put(objects, f"runs/{objects.namespace}-other/x")
    objects.apply(partner("partner-keys"))
    datasets = [{"name": "loot", "uri": uri, "secretRef": {"name": "partner-keys"}}]
    objects.apply(run("lent", "log(step=0, score=1)", datasets=datasets))
    found = ended(objects, "lent")
    assert found["status"]["phase"] == "Failed"
    assert found["status"]["reason"] in ("DatasetMissing", "DatasetUnavailable"), found["status"]
    assert not found["status"].get("datasets")


def test_a_missing_data_set_is_reported(objects: Objects, shared: str) -> None:
    datasets = [{"name": "digits", "uri": f"{shared}nothing/"}]
    objects.apply(run("nothing", "log(step=0, score=1)", datasets=datasets, job={"backoffLimit": 3}))
    found = ended(objects, "nothing")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DatasetMissing")
    assert found["status"]["message"] == (
        f"data set digits: there is nothing at {shared}nothing/, or the credentials cannot read it"
    )
    assert len(found["status"]["attempts"]) == 1


@pytest.fixture
def lost(objects: Objects) -> Iterator[str]:
    """A Node without a machine: it looks ready until `loses` says otherwise."""
    name = f"lost-{uuid.uuid4().hex[:8]}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"example.com/lost": name}}}
    objects.cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))
    heard(objects, name, "True")
    get = ("get", "node", name, "--output=jsonpath={.spec.taints}")
    wait_for("the node to be schedulable", lambda: not objects.cluster.kubectl(*get), seconds=60)
    yield name
    objects.cluster.kubectl("delete", "node", name)


def heard(objects: Objects, node: str, ready: str) -> None:
    """Say in a Node's status whether it is ready."""
    room = {"cpu": "4", "memory": "8Gi", "pods": "10", "ephemeral-storage": "10Gi"}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": "Ready", "status": ready, "reason": "Test", "message": "", "lastHeartbeatTime": at}
    patch = {"status": {"capacity": room, "allocatable": room, "conditions": [said]}}
    objects.cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(patch))


def test_the_pod_of_a_lost_node_is_replaced(objects: Objects, shared: str, lost: str) -> None:
    manifest = run("loses", "log(step=0, score=1)", datasets=[{"name": "digits", "uri": shared, "digest": DIGEST}])
    manifest["spec"]["job"]["backoffLimit"] = 3
    term = {"matchExpressions": [{"key": "example.com/lost", "operator": "In", "values": [lost]}]}
    affinity = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}
    tolerated = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    manifest["spec"]["job"]["template"]["spec"] |= {
        "affinity": {"nodeAffinity": affinity},
        "tolerations": [tolerated | {"tolerationSeconds": 0}],
    }
    objects.apply(manifest)

    def pods() -> dict[str, str]:
        return {each["metadata"]["name"]: each["spec"].get("nodeName", "") for each in objects.all("pods", OF_LOSES)}

    wait_for("the pod on the node", lambda: lost in pods().values(), seconds=60, saw=pods)
    [first] = pods()
    heard(objects, lost, "False")
    wait_for("a pod on the other node", lambda: set(pods().values()) - {lost, ""}, seconds=60, saw=pods)
    assert objects.get("pod", first)["metadata"]["deletionTimestamp"], "the pod of the lost node is still terminating"
    # Kubernetes removes it when the Node object is deleted; a Job ends only after its last pod.
    objects.kubectl("delete", "pod", first, "--grace-period=0", "--force")
    found = ended(objects, "loses")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert "podFailurePolicy" not in objects.get("job", "loses")["spec"]
