"""The operator creates Jobs in its own name: nobody's template gets what a policy would refuse them by their name."""

import json
from collections.abc import Iterator

import pytest

from tests import pod_templates, registry
from tests.attackers import SCIENTIST, Outcome, Realm, stopped
from tests.cluster.waiting import wait_for
from tests.registry import Raw

pytestmark = [pytest.mark.integration, pytest.mark.attacks]


def launch(realm: Realm, name: str, pod: Raw, user: str = SCIENTIST) -> Outcome:
    return realm.create(user, _run(name, pod))


def _run(name: str, pod: Raw) -> Raw:
    manifest = registry.run(name)
    manifest["spec"]["job"]["template"]["spec"] = pod
    return manifest


def _experiment(name: str, pod: Raw) -> Raw:
    manifest = registry.experiment(name)
    manifest["spec"]["template"]["job"]["template"]["spec"] = pod
    return manifest


def test_p01_host_network(realm: Realm) -> None:
    stopped("P01", launch(realm, "p01", pod_templates.FORBIDDEN["host-network"]))


def test_p02_host_path(realm: Realm) -> None:
    stopped("P02", launch(realm, "p02", pod_templates.FORBIDDEN["host-path"]))


def test_p03_privileged_init_container_of_an_experiment(realm: Realm) -> None:
    stopped("P03", realm.create(SCIENTIST, _experiment("p03", pod_templates.FORBIDDEN["privileged-init"])))


def test_p04_added_capability(realm: Realm) -> None:
    stopped("P04", launch(realm, "p04", pod_templates.FORBIDDEN["capability"]))


def test_p05_another_service_account(realm: Realm) -> None:
    stopped("P05", launch(realm, "p05", pod_templates.FORBIDDEN["service-account"]))


def test_p06_allow_the_service_account_in_the_namespace(realm: Realm) -> None:
    annotation = "assay.dev/run-service-accounts=deployer"
    stopped("P06", realm.act("nadia", "annotate", "--overwrite", "namespace", realm.namespace, annotation))


def test_p07_the_template_of_an_experiment_is_changed_afterwards(realm: Realm) -> None:
    realm.created(SCIENTIST, _experiment("p07", pod_templates.PLAIN))
    patch = {"spec": {"template": {"job": {"template": {"spec": {"hostPID": True}}}}}}
    stopped("P07", realm.merge(SCIENTIST, "experiment", "p07", patch))


def test_p08_as_the_operator(realm: Realm) -> None:
    """The operator is not exempt: the Experiment of a Run may be older than the policy."""
    stopped("P08", launch(realm, "p08", pod_templates.FORBIDDEN["host-network"], registry.OPERATOR))


@pytest.mark.parametrize("name", pod_templates.FORBIDDEN)
def test_runs_and_experiments_that_violate_baseline_are_refused(realm: Realm, name: str) -> None:
    for manifest in (_run(name, pod_templates.FORBIDDEN[name]), _experiment(name, pod_templates.FORBIDDEN[name])):
        outcome = realm.act(SCIENTIST, "create", "--dry-run=server", "--filename=-", stdin=manifest)
        assert not outcome.done
        assert "assay-pod-security' with binding 'assay-pod-security' denied request" in outcome.said


def test_allowed_pod_templates_are_accepted(realm: Realm) -> None:
    for name, pod in pod_templates.ALLOWED.items():
        for manifest in (_run(name, pod), _experiment(name, pod)):
            realm.must(SCIENTIST, "create", "--dry-run=server", "--filename=-", stdin=manifest)


def test_a_service_account_that_the_platform_team_named_is_accepted(realm: Realm) -> None:
    pod = pod_templates.FORBIDDEN["service-account"]
    named = ("annotate", "--overwrite", "namespace", realm.other, "assay.dev/run-service-accounts=trainer deployer")
    realm.cluster.kubectl(*named)
    argv = ("create", "--dry-run=server", "-f", "-", f"--namespace={realm.other}")
    manifest = json.dumps(registry.owned(realm.cluster, _run("named", pod), argv))
    wait_for("the annotation to count", lambda: realm.cluster.kubectl(*argv, stdin=manifest))


@pytest.fixture
def restricted(realm: Realm) -> Iterator[Realm]:
    """The namespace, where `restricted` holds: for this namespace alone, others run their tests in the cluster."""
    text = (registry.POLICIES / "optional/pod-security-restricted.yaml").read_text()
    name = "kubernetes.io/metadata.name"
    narrow = f"  matchResources: {{namespaceSelector: {{matchLabels: {{{name}: {realm.namespace}}}}}}}\n"
    realm.cluster.kubectl("apply", "-f", "-", stdin=text + narrow)
    probe = ("create", "--dry-run=server", "--filename=-")
    wait_for(
        "the policy to be in force",
        lambda: not realm.act(SCIENTIST, *probe, stdin=_run("probe", pod_templates.PLAIN)).done,
        seconds=60,
    )
    yield realm
    realm.cluster.kubectl("delete", "-f", "-", stdin=text)
    wait_for(
        "the policy to be out of force",
        lambda: realm.act(SCIENTIST, *probe, stdin=_run("probe", pod_templates.PLAIN)).done,
        seconds=60,
    )


def test_restricted_refuses_weakened_templates(restricted: Realm) -> None:
    argv = ("create", "--dry-run=server", "--filename=-")
    restricted.must(SCIENTIST, *argv, stdin=_run("fine", pod_templates.RESTRICTED))
    for name, pod in pod_templates.weakened().items():
        outcome = restricted.act(SCIENTIST, *argv, stdin=_run("weak", pod))
        assert not outcome.done, name
        assert "assay-pod-security-restricted" in outcome.said
