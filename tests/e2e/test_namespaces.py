"""Containers that Assay adds run in namespaces with quotas, limit ranges and users of the cluster: docs/install.md."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.local import LocalCluster
from tests.objects import Objects, run
from tests.operators import OperatorProcess

pytestmark = pytest.mark.e2e

Raw = dict[str, Any]
RESOURCES = {"requests": {"cpu": "25m", "memory": "96Mi"}, "limits": {"cpu": "250m", "memory": "512Mi"}}
RECORDER = {
    "resources": RESOURCES,
    "runAsUser": "unset",
    "podLabels": {"mesh": "off"},
    "imagePullSecrets": ["registry"],
}
RULES: dict[str, Raw] = {
    "ResourceQuota": {"hard": {"limits.cpu": "2", "limits.memory": "2Gi", "requests.cpu": "1"}},
    "LimitRange": {
        "limits": [
            {
                "type": "Container",
                "min": {"cpu": "20m", "memory": "16Mi"},
                "max": {"cpu": "1", "memory": "1Gi"},
                "maxLimitRequestRatio": {"cpu": "20"},
            }
        ]
    },
}


@pytest.fixture
def strict(installed: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[Objects]:
    """A namespace with a quota, a limit range and pod security, and an operator that is set up for it."""
    environment = {
        "ASSAY_NAMESPACES": namespace,
        "ASSAY_RECORDER": json.dumps(RECORDER),
        "ASSAY_FETCH": json.dumps(RECORDER),
        "ASSAY_RECORDER_STANDBY_REQUESTS": json.dumps({"cpu": "20m", "memory": "32Mi"}),
    }
    objects = Objects(installed, namespace)
    objects.cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for kind, spec in RULES.items():
        objects.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": "strict"}, "spec": spec})
    with OperatorProcess(installed, tmp_path / "operator.log", environment):
        yield objects


def test_a_run_in_a_strict_namespace_records_private_files(strict: Objects) -> None:
    """The user is none that Assay knows, as if OpenShift had taken it from the namespace's range."""
    script = """
        assert pathlib.Path('/assay/data/digits/train.csv').read_text() == '1,2'
        log(step=0, score=1)
        artifacts.joinpath('w').write_text('w')
        os.chmod(artifacts / 'w', 0o600)
    """
    prefix = f"shared/{strict.namespace}/"
    allowed = f"assay.dev/allowed-prefixes=s3://{strict.store.config.bucket}/{prefix}"
    strict.cluster.kubectl("annotate", "namespace", strict.namespace, allowed)
    strict.store.put_bytes(f"{prefix}digits/train.csv", b"1,2")
    data = {"name": "digits", "uri": f"s3://{strict.store.config.bucket}/{prefix}digits/"}
    manifest = run("strict", script, model={"path": "w"}, datasets=[data])
    spec = manifest["spec"]["job"]["template"]["spec"]
    spec["securityContext"] = {
        "runAsUser": 1000640000,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec["containers"][0]["resources"] = {"requests": RESOURCES["limits"], "limits": RESOURCES["limits"]}
    spec["containers"][0]["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    strict.apply(manifest)
    ended = strict.wait_phase("run", "strict", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    (pod,) = strict.all("pods")
    assert pod["metadata"]["labels"]["mesh"] == "off"
    assert {"name": "registry"} in pod["spec"]["imagePullSecrets"]
    ours = {each["name"]: each for each in pod["spec"]["initContainers"]}
    assert set(ours) == {"assay-recorder-standby", "assay-recorder", "assay-fetch-data"}
    for container in ours.values():
        assert "runAsUser" not in container["securityContext"]
        assert container["resources"]["limits"] == RESOURCES["limits"]
