"""What cannot work in a pod template is refused when the object is created, in the words of `assay validate`."""

import copy
from typing import Any

import pytest

from assay.planning.runs import template
from tests import pod_templates, registry
from tests.attackers import SCIENTIST, Realm

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

Raw = dict[str, Any]
DRY = ("create", "--dry-run=server", "--filename=-")
CACHE: Raw = {"name": "cache", "emptyDir": {}}


def mounts(path: str, name: str = "cache") -> Raw:
    """Return a pod spec whose second container mounts a volume at a path."""
    return pod_templates.pod({"volumes": [CACHE]}, {"volumeMounts": [{"name": name, "mountPath": path}]})


def without(field: str) -> Raw:
    found = copy.deepcopy(pod_templates.PLAIN)
    del (found if field in found else found["containers"][0])[field]
    return found


MISTAKES: dict[str, Raw] = {
    "no-restart-policy": without("restartPolicy"),
    "always": pod_templates.pod({"restartPolicy": "Always"}),
    "no-image": without("image"),
    "no-image-init": pod_templates.pod(container={"image": ""}, where="initContainers"),
    "command": pod_templates.pod(container={"command": "true"}),
    "args": pod_templates.pod(container={"args": "--lr=1"}),
    "no-volume": mounts("/cache", "other"),
    "no-volumes": pod_templates.pod(container={"volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}),
    **{
        f"reserved-{index}": mounts(path)
        for index, path in enumerate(
            (
                "/",
                "/assay",
                "//assay//",
                "assay/artifacts",
                "/assay/./artifacts/models",
                "/assay/metrics.jsonl",
                "/assay/params.json/",
            )
        )
    },
}
ALLOWED: dict[str, Raw] = {
    **{f"path-{index}": mounts(path) for index, path in enumerate(("/data", "/assays", "/assay/cache", "/assay/data"))},
    "on-failure": pod_templates.pod({"restartPolicy": "OnFailure"}),
    "words": pod_templates.pod(container={"command": ["true"], "args": []}),
}


def manifests(name: str, pod: Raw, **spec: Any) -> list[Raw]:
    run = registry.run(name, **spec)
    run["spec"]["job"]["template"]["spec"] = pod
    experiment = registry.experiment(name)
    experiment["spec"]["template"] = run["spec"]
    return [run, experiment]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_in_runs_and_experiments(realm: Realm, name: str) -> None:
    (fault,) = template.faults({"template": {"spec": MISTAKES[name]}}, with_data=False)
    words = fault.message.partition(": [")[0] if name in ("command", "args") else fault.message
    for manifest in manifests(name, MISTAKES[name]):
        outcome = realm.act(SCIENTIST, *DRY, stdin=manifest)
        assert not outcome.done
        assert "'assay-templates' with binding 'assay-templates' denied request: spec." in outcome.said
        assert words.replace("must be a list", "must be lists") in outcome.said


def test_what_can_work_is_accepted(realm: Realm) -> None:
    for name, pod in ALLOWED.items():
        for manifest in manifests(name, pod):
            realm.must(SCIENTIST, *DRY, stdin=manifest)


def test_the_folder_of_data_sets_is_reserved_where_there_are_any(realm: Realm) -> None:
    datasets = [{"name": "digits", "uri": "https://example.com/digits.csv", "digest": registry.digest()}]
    for manifest in manifests("data", mounts("/assay/data/digits"), datasets=datasets):
        outcome = realm.act(SCIENTIST, *DRY, stdin=manifest)
        assert "container changed: /assay/data/digits is reserved by Assay: mount the volume elsewhere" in outcome.said


def test_the_operator_creates_runs_of_experiments_older_than_the_policy(realm: Realm) -> None:
    (run, _) = manifests("older", MISTAKES["always"], owner=SCIENTIST)
    realm.must(registry.OPERATOR, *DRY, stdin=run)
