"""The chart as Helm renders it: what is in it, and what it says about values that are wrong."""

import functools
import json
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from assay.api import names
from assay.api.crd import KINDS
from tests import oidc
from tests.chart.conftest import CHART

pytestmark = pytest.mark.chart

Raw = dict[str, Any]
TRYING_OUT: Raw = {"minio": {"enabled": True}}


@functools.cache
def chart() -> Chart:
    return Chart.load(CHART)


def rendered(values: Raw, namespace: str = "ml-platform") -> list[Raw]:
    """Return every object that Helm would apply."""
    files = chart().render(values, namespace=namespace)
    found = [each for path, text in files.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text)]
    return [each for each in found if each]


def named(objects: list[Raw], kind: str) -> dict[str, Raw]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def test_helm_lint_passes() -> None:
    assert lint(CHART)["errors"] == []


def test_the_chart_contains_all_objects() -> None:
    objects = rendered(TRYING_OUT)
    assert set(named(objects, "CustomResourceDefinition")) == {f"{kind.plural}.assay.dev" for kind in KINDS}
    assert set(named(objects, "ValidatingAdmissionPolicy")) == names.ADMISSION_POLICIES
    assert set(named(objects, "ValidatingAdmissionPolicyBinding")) == names.ADMISSION_POLICIES
    assert set(named(objects, "Deployment")) == {"assay-operator"}
    assert "Namespace" not in {each["kind"] for each in objects}, "Helm makes the release's namespace"


def test_default_namespace_and_bucket_are_fully_replaced() -> None:
    values = {**TRYING_OUT, "store": {"bucket": "other-bucket"}}
    text = json.dumps(rendered(values))
    assert "assay-system" not in text
    assert "s3://assay/" not in text
    assert "system:serviceaccount:ml-platform:assay-operator" in text
    status = named(rendered(values), "ValidatingAdmissionPolicy")["assay-status"]
    assert status["metadata"]["annotations"] == {"assay.dev/operator-namespace": "ml-platform"}
    assert "'s3://other-bucket/runs/'" in text


def test_the_job_controller_identity_is_configurable() -> None:
    """Where all controllers share one identity, its name is in every place."""
    policies = json.dumps(rendered({**TRYING_OUT, "policies": {"jobController": "system:kube-controller-manager"}}))
    assert "system:serviceaccount:kube-system:job-controller" not in policies
    assert "request.userInfo.username == 'system:kube-controller-manager'" in policies


def test_crds_are_kept_or_skipped_as_configured() -> None:
    keep = "helm.sh/resource-policy"
    kinds = named(rendered(TRYING_OUT), "CustomResourceDefinition").values()
    assert all(each["metadata"]["annotations"][keep] == "keep" for each in kinds)
    kinds = named(rendered({**TRYING_OUT, "crds": {"keep": False}}), "CustomResourceDefinition").values()
    assert not any(keep in (each["metadata"].get("annotations") or {}) for each in kinds)
    assert not named(rendered({**TRYING_OUT, "crds": {"install": False}}), "CustomResourceDefinition")


def test_no_persona_has_an_unrelated_verb() -> None:
    roles = named(rendered(TRYING_OUT), "ClusterRole")
    verbs = {
        name: {verb for each in role["rules"] if "aliases" in each.get("resources", []) for verb in each["verbs"]}
        for name, role in roles.items()
    }
    assert {name: found for name, found in verbs.items() if found} == {
        "assay-approver": {"approve"},
        "assay-release-manager": {"bind", "rollback"},
        "assay-revoker": {"revoke"},
    }
    assert not any(
        "*" in each["verbs"] or "*" in each.get("resources", []) for role in roles.values() for each in role["rules"]
    )


def test_controller_identities_are_configurable() -> None:
    found = json.dumps(rendered({**TRYING_OUT, "policies": {"controllers": ["gke:gc", "gke:deployments"]}}))
    assert "'system:kube-controller-manager', 'gke:deployments', 'gke:gc'" in found
    assert "gke:" not in json.dumps(rendered(TRYING_OUT))


EXTERNAL: Raw = {"endpoint": "https://s3.example.com", "existingSecret": "s3"}


def with_store(**changes: Any) -> Raw:
    return {"store": {**EXTERNAL, **changes}}


# What the schema says.


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stoer": {}}, "additional properties 'stoer' not allowed"),
        ({**TRYING_OUT, "image": {"name": "x"}}, "at '/image': additional properties 'name' not allowed"),
        ({**TRYING_OUT, "image": {"tag": 1.5}}, "at '/image/tag': got number, want string"),
        ({**TRYING_OUT, "image": None}, "missing property 'image'"),
        ({**TRYING_OUT, "replicas": "2"}, "at '/replicas': got string, want integer"),
        ({**TRYING_OUT, "replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
        ({**TRYING_OUT, "namespaces": "team"}, "at '/namespaces': got string, want array"),
        ({**TRYING_OUT, "logLevel": "debug"}, "at '/logLevel': value must be one of 'DEBUG', 'INFO'"),
        ({**TRYING_OUT, "metrics": {"rules": "true"}}, "at '/metrics/rules': got string, want boolean"),
        (with_store(credentialsMode="none"), "at '/store/credentialsMode': value must be one of 'sts', 'static'"),
        (with_store(stsSeconds=60), "at '/store/stsSeconds': minimum: got 60, want 900"),
    ],
)
def test_a_value_of_another_shape_is_named(values: Raw, said: str) -> None:
    with pytest.raises(HelmError) as refusal:
        rendered(values)
    assert said in str(refusal.value)


# What is said in words, because a schema cannot.


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "store.endpoint: say where the S3-compatible store is, or try it out with minio.enabled=true"),
        ({"store": {"endpoint": "https://s3.example.com"}}, "store.existingSecret: name a Secret with the keys"),
        (with_store(existingSecret="", accessKey="a"), "store.secretKey is missing: set both, or name a Secret"),
        (with_store(existingSecret="", secretKey="a"), "store.accessKey is missing: set both, or name a Secret"),
        (with_store(accessKey="a", secretKey="b"), "are both set: leave out the keys, the Secret has them"),
        (with_store(endpoint="s3.example.com"), 'store.endpoint is "s3.example.com": it must be like https://'),
        (with_store(endpoint="https://s3.example.com/assay"), "it must be like https://s3.example.com:9000, without"),
        (with_store(endpoint="https://me:hidden@s3.example.com"), 'store.endpoint is "https://…@s3.example.com"'),
        (with_store(runEndpoint="s3:9000"), 'store.runEndpoint is "s3:9000": it must be like https://'),
        ({**TRYING_OUT, **with_store()}, "store.endpoint and minio.enabled are both set: leave out store.endpoint"),
        (with_store(endpoint="http://s3:9000", caSecret="ca"), "certificates count for https:// alone"),
        (with_store(bucket="My_Bucket"), 'store.bucket is "My_Bucket": a bucket\'s name has 3 to 63'),
        ({**TRYING_OUT, "audit": {"bucket": "A"}}, 'audit.bucket is "A": a bucket\'s name has 3 to 63'),
        ({**TRYING_OUT, "store": {"credentialsMode": "static"}}, "store.credentialsMode is static: name a Secret"),
        ({**TRYING_OUT, "store": {"accessKey": "a", "secretKey": "b"}}, "too short for MinIO"),
        (
            {**TRYING_OUT, "minio": {"enabled": True, "storage": "10GB"}},
            'minio.storage is "10GB": it must be',
        ),
        ({**TRYING_OUT, "image": {"repository": "a.example.com:5000/assay:1"}}, "goes into image.tag or image.digest"),
        ({**TRYING_OUT, "image": {"digest": "abc"}}, 'image.digest is "abc": it must be sha256: and 64'),
        ({**TRYING_OUT, "namespaces": ["Team"]}, 'namespaces has "Team": that is no name of a namespace'),
    ],
)
def test_conflicting_values_are_explained(values: Raw, said: str) -> None:
    with pytest.raises(HelmError) as refusal:
        rendered(values)
    text = str(refusal.value)
    assert "these values cannot be used:" in text
    assert said in text
    assert "hidden" not in text


def test_all_invalid_values_are_reported_at_once() -> None:
    with pytest.raises(HelmError) as refusal:
        rendered({"store": {"endpoint": "s3", "bucket": "B"}, "image": {"digest": "abc"}})
    assert len([line for line in str(refusal.value).splitlines() if line.strip().startswith("- ")]) == 4


@pytest.mark.parametrize(
    "values",
    [
        with_store(),
        with_store(endpoint="http://10.0.0.1:9000/", runEndpoint="https://s3.example.com", caSecret=""),
        with_store(credentialsMode="static", caSecret="ca"),
        {**with_store(), "image": {"repository": "a.example.com:5000/team/assay", "digest": "sha256:" + "0" * 64}},
        {**TRYING_OUT, "store": {"accessKey": "assay", "secretKey": "long-enough"}},
        {**TRYING_OUT, "store": {"existingSecret": "s3"}},
        {**TRYING_OUT, "namespaces": ["team-a"], "audit": {"bucket": "assay-audit", "retentionDays": 365}},
    ],
)
def test_valid_values_are_accepted(values: Raw) -> None:
    assert named(rendered(values), "Deployment")


# The pods


def test_every_pod_is_what_the_standard_restricted_asks_for() -> None:
    """Beside what the standard asks for, none writes to its own image, and only the operator talks to Kubernetes."""
    pods = {name: spec for name, (_, spec) in pods_of(rendered(TRYING_OUT)).items()}
    assert set(pods) == {"assay-operator", "assay-minio", "assay-checkup"}
    for name, spec in pods.items():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec.get("automountServiceAccountToken", True) is (name == "assay-operator")
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def pods_of(objects: list[Raw]) -> dict[str, tuple[dict[str, str], Raw]]:
    """Return labels and spec of every pod that objects make, by the name of what makes it."""
    found = {}
    for each in objects:
        template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template", {})
        if "containers" in template.get("spec", {}):
            found[each["metadata"]["name"]] = template["metadata"]["labels"], template["spec"]
    return found


# Network policies. What is said here is what they say: the local cluster has nothing that enforces them.


def network(values: Raw, **policy: Any) -> tuple[dict[str, Raw], dict[str, tuple[dict[str, str], Raw]]]:
    """Return the NetworkPolicies by name, and the pods."""
    objects = rendered({**values, "networkPolicy": {"enabled": True, "restrictEgress": True, **policy}})
    return {name: each["spec"] for name, each in named(objects, "NetworkPolicy").items()}, pods_of(objects)


def ports(rules: list[Raw]) -> set[Any]:
    return {(port["port"], port.get("protocol", "TCP")) for rule in rules for port in rule["ports"]}


def test_each_network_policy_selects_its_own_pods_and_no_other() -> None:
    policies, pods = network(TRYING_OUT)
    assert set(policies) == set(pods)
    for name, spec in policies.items():
        wanted = spec["podSelector"]["matchLabels"].items()
        assert {pod for pod, (labels, _) in pods.items() if wanted <= labels.items()} == {name}
        assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert network(with_store())[0].keys() == {"assay-operator", "assay-checkup"}
    none = rendered({**TRYING_OUT, "networkPolicy": {"enabled": False}})
    assert "NetworkPolicy" not in {each["kind"] for each in none}


def test_network_policies_restrict_only_ingress_by_default() -> None:
    """Where the API server is reached differs from cluster to cluster: a wrong port would keep the operator down."""
    policies = {name: each["spec"] for name, each in named(rendered(TRYING_OUT), "NetworkPolicy").items()}
    assert set(policies) == {"assay-operator", "assay-checkup", "assay-minio"}
    assert all(spec["policyTypes"] == ["Ingress"] and "egress" not in spec for spec in policies.values())
    assert "ingress" not in policies["assay-checkup"]


def test_the_operator_gets_exactly_the_installed_admission_policies() -> None:
    for level in ("baseline", "restricted", "off"):
        objects = rendered({**TRYING_OUT, "runs": {"podSecurity": level}})
        told = named(objects, "ConfigMap")["assay-admission-policies"]["data"]["policies.yaml"]
        shipped = [each for each in yaml.safe_load_all(told) if each]
        assert shipped == [each for each in objects if "AdmissionPolicy" in each["kind"]]
        assert ("assay-pod-security" in named(objects, "ValidatingAdmissionPolicy")) is (level != "off")
        assert ("assay-pod-security-restricted" in named(objects, "ValidatingAdmissionPolicy")) is (
            level == "restricted"
        )
    assert "ConfigMap" not in {each["kind"] for each in rendered({**TRYING_OUT, "policies": {"install": False}})}


def test_metrics_require_authentication_by_default() -> None:
    def found(**values: Any) -> tuple[str, set[str]]:
        objects = rendered({**TRYING_OUT, **values})
        (operator,) = pods_of(objects)["assay-operator"][1]["containers"]
        env = {each["name"]: each.get("value") for each in operator["env"]}
        return str(env["ASSAY_METRICS_AUTHENTICATION"]), set(named(objects, "ClusterRole"))

    value, roles = found()
    assert value == "true"
    assert {"assay-operator-metrics", "assay-metrics-reader"} <= roles
    for values in ({"metrics": {"authentication": False}}, {"namespaces": ["team-a"]}):
        value, roles = found(**values)
        assert value == "false"
        assert "assay-operator-metrics" not in roles


@pytest.mark.parametrize(
    ("values", "port"),
    [
        (TRYING_OUT, 9000),
        (with_store(), 443),
        (with_store(endpoint="http://s3.example.com"), 80),
        (with_store(endpoint="https://s3.example.com:9443/"), 9443),
    ],
)
def test_network_policies_open_only_the_required_ports(values: Raw, port: int) -> None:
    policies, pods = network(values, apiServerPorts=[6443])
    (operator,) = pods["assay-operator"][1]["containers"]
    names = {(53, "UDP"), (53, "TCP")}
    assert ports(policies["assay-operator"]["egress"]) == names | {(port, "TCP"), (6443, "TCP"), (10250, "TCP")}
    listens = {each["name"]: each["containerPort"] for each in operator["ports"]}
    assert ports(policies["assay-operator"]["ingress"]) == {(name, "TCP") for name in listens}
    checkup = policies["assay-checkup"]
    assert ports(checkup["egress"]) == names | {(port, "TCP"), (listens["http"], "TCP")}
    assert "ingress" not in checkup
    if "minio" in values:
        assert ports(policies["assay-minio"]["ingress"]) == {("s3", "TCP")}
        assert "egress" not in policies["assay-minio"]


def test_metrics_are_reachable_from_configured_peers_and_helm_test() -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    policies, pods = network(TRYING_OUT, scrapeFrom=[prometheus])
    (rule,) = policies["assay-operator"]["ingress"]
    first, checkup = rule["from"]
    assert first == prometheus
    assert checkup["podSelector"]["matchLabels"].items() <= pods["assay-checkup"][0].items()


def test_extra_egress_rules_are_added() -> None:
    collector = {"ports": [{"port": 4318, "protocol": "TCP"}]}
    policies, _ = network(TRYING_OUT, extraEgress=[collector])
    assert collector in policies["assay-operator"]["egress"]


# The server


SERVER = {"enabled": True, "hosts": ["assay.example.com"]}


def test_the_server_may_only_list_and_watch() -> None:
    """It has no store key and no signing key either: whoever takes it over has the users' tokens of that time alone."""
    assert "assay-server" not in json.dumps(rendered(TRYING_OUT))
    objects = rendered({**TRYING_OUT, "server": SERVER})
    mine = [each for each in objects if each["metadata"]["name"].startswith("assay-server")]
    (role,) = (each for each in mine if each["kind"] == "ClusterRole")
    assert [(rule["apiGroups"], rule["verbs"]) for rule in role["rules"]] == [(["assay.dev"], ["list", "watch"])]
    assert len(role["rules"][0]["resources"]) == 5
    bound = [each for each in objects if "assay-server" in json.dumps(each.get("subjects", ""))]
    assert [each["roleRef"]["name"] for each in bound] == ["assay-server"]
    _, spec = pods_of(objects)["assay-server"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "assay-store" not in json.dumps(spec)
    assert "signing" not in json.dumps(spec)
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["ASSAY_SERVER_HOSTS"] == "assay.example.com"
    assert environment["ASSAY_SERVER_STORES"] == "http://assay-minio.ml-platform.svc:9000"
    assert container["readinessProbe"]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "assay.example.com"}]


def test_the_server_of_some_namespaces_has_roles_there() -> None:
    objects = rendered({**TRYING_OUT, "server": SERVER, "namespaces": ["blue", "green"]})
    mine = [each for each in objects if each["metadata"]["name"].startswith("assay-server")]
    assert not [each for each in mine if each["kind"].startswith("ClusterRole")]
    assert {each["metadata"]["namespace"] for each in mine if each["kind"] == "Role"} == {"blue", "green"}


def test_the_server_behind_oauth2_proxy_as_documented() -> None:
    """tests/server/test_oidc.py runs the rest of the page's settings."""
    values = oidc.chart_values()["server"]
    policies, pods = network({**TRYING_OUT, "server": values})
    assert policies["assay-server"]["ingress"][0]["from"] == values["from"]
    (container,) = pods["assay-server"][1]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["ASSAY_SERVER_SIGN_OUT"] == values["signOut"]
    assert f"https://{environment['ASSAY_SERVER_HOSTS']}" == oidc.ADDRESS


def test_server_ingress_is_limited_to_configured_peers() -> None:
    proxy = [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}]
    policies, pods = network({**TRYING_OUT, "server": {**SERVER, "from": proxy}})
    assert set(policies) == set(pods)
    assert policies["assay-server"]["ingress"][0]["from"] == proxy
    assert ports(policies["assay-server"]["egress"]) >= {(443, "TCP"), (9000, "TCP"), (53, "UDP")}


def test_the_server_reaches_every_store_that_it_may_connect_to() -> None:
    stores = ["https://store.example.com:9443", "http://plain.example.com/", "https://eu.example.com"]
    policies, _ = network({**TRYING_OUT, "server": {**SERVER, "stores": stores}}, apiServerPorts=[6443])
    assert ports(policies["assay-server"]["egress"]) >= {(9443, "TCP"), (80, "TCP"), (443, "TCP"), (6443, "TCP")}


def test_the_server_runs_on_the_nodes_of_the_operator() -> None:
    where = {"nodeSelector": {"pool": "platform"}, "tolerations": [{"key": "platform", "operator": "Exists"}]}
    pods = pods_of(rendered({**TRYING_OUT, "server": SERVER, **where}))
    for name in ("assay-operator", "assay-server"):
        _, spec = pods[name]
        assert {field: spec[field] for field in where} == where
