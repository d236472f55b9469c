import json
from typing import Any

import pytest

from assay.planning.models.registration import provenance_of
from assay.planning.runs import datasets, entitlement
from assay.planning.runs.checks import InvalidTemplate, is_ours
from assay.planning.runs.datasets import StoreAddress
from assay.planning.runs.facts import pod_facts
from assay.planning.runs.job import JobSettings, build_job
from tests.unit.planning.objects import Raw, container, ended, job_spec, pod, recorder, run

pytestmark = pytest.mark.unit

SETTINGS = JobSettings(image="localhost/assay:dev", store=StoreAddress("https://store:9000", "eu-1", "PEM"))
DIGEST = "sha256:" + "a" * 64
OWN = {"name": "own", "uri": "s3://assay/runs/team/x/"}
SHARED = {"name": "shared", "uri": "s3://datasets/digits/2.1/", "version": "2.1", "digest": DIGEST}
KEYED = {"name": "keyed", "uri": "s3://payroll/$(X)/", "secretRef": {"name": "b-keys"}}
KEYED_TOO = {"name": "keyed-too", "uri": "s3://payroll/y/", "secretRef": {"name": "a-keys"}}
WEB = {"name": "web", "uri": "https://h/x?signature=a", "digest": DIGEST}


def build(*asked: Raw, job: Raw | None = None) -> Raw:
    return build_job(run(datasets=list(asked), job=job or job_spec()), "runs/team/_/r/u", SETTINGS)


def pod_of(built: Raw) -> Raw:
    found: Raw = built["spec"]["template"]["spec"]
    return found


def fetches(built: Raw) -> dict[str, Raw]:
    return {each["name"]: each for each in pod_of(built)["initContainers"] if datasets.is_fetch(each["name"])}


def env_of(found: Raw) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in found["env"]}


def test_without_data_sets_nothing_is_added() -> None:
    built = build()
    assert not fetches(built)
    assert "podFailurePolicy" not in built["spec"]
    assert "assay-data" not in json.dumps(built)


def test_data_sets_are_fetched_after_the_recorder_and_before_user_containers() -> None:
    spec = job_spec(initContainers=[{"name": "mine"}])
    order = [each["name"] for each in pod_of(build(KEYED, OWN, WEB, KEYED_TOO, job=spec))["initContainers"]]
    assert order == [
        "assay-recorder-standby",
        "assay-recorder",
        "assay-fetch-data",
        "assay-fetch-data-1",
        "assay-fetch-data-2",
        "mine",
    ]
    assert [name for name in order if is_ours(name)] == order[:-1]


def test_each_container_is_asked_for_its_own_and_escapes_what_kubernetes_would_expand() -> None:
    found = fetches(build(KEYED, SHARED, WEB, KEYED_TOO))
    asked = {name: json.loads(env_of(each)["ASSAY_FETCH_DATASETS"]) for name, each in found.items()}
    assert asked == {
        "assay-fetch-data": [
            {"name": "shared", "uri": "s3://datasets/digits/2.1/", "digest": DIGEST},
            {"name": "web", "uri": "https://h/x?signature=a", "digest": DIGEST},
        ],
        "assay-fetch-data-1": [{"name": "keyed-too", "uri": "s3://payroll/y/"}],
        "assay-fetch-data-2": [{"name": "keyed", "uri": "s3://payroll/$$(X)/"}],
    }


def test_each_container_sees_its_own_credentials_and_no_other_sees_any() -> None:
    built = build(KEYED, OWN, KEYED_TOO)
    secrets = {each["name"]: each["secret"] for each in pod_of(built)["volumes"] if "secret" in each}
    name = "assay-run-uid-sweep-0"
    assert secrets == {
        "assay-store": {"secretName": name, "items": [{"key": "credentials.json", "path": "credentials.json"}]},
        "assay-data-credentials": {"secretName": name, "items": [{"key": "datasets.json", "path": "datasets.json"}]},
    }
    mounted: dict[str, set[str]] = {}
    for each in [*pod_of(built)["initContainers"], *pod_of(built)["containers"]]:
        names = {mount["name"] for mount in each["volumeMounts"]} & secrets.keys()
        names |= {
            v["valueFrom"]["secretKeyRef"]["name"] for v in each["env"] if "secretKeyRef" in v.get("valueFrom", {})
        }
        mounted[each["name"]] = names
    assert mounted == {
        "assay-recorder": {"assay-store"},
        "assay-recorder-standby": {"assay-store"},
        "assay-fetch-data": {"assay-data-credentials"},
        "assay-fetch-data-1": {"a-keys"},
        "assay-fetch-data-2": {"b-keys"},
        "train": set(),
    }


def test_the_web_needs_no_credentials() -> None:
    assert [each["name"] for each in pod_of(build(WEB))["volumes"] if "secret" in each] == ["assay-store"]


@pytest.mark.parametrize(("dataset", "optional"), [(KEYED, False), ({**WEB, "secretRef": {"name": "b-keys"}}, True)])
def test_a_secret_has_to_have_keys_where_a_store_asks_for_them(dataset: Raw, optional: bool) -> None:
    env = env_of(fetches(build(dataset))["assay-fetch-data-1"])
    assert {name: value["secretKeyRef"]["optional"] for name, value in env.items() if isinstance(value, dict)} == {
        "ASSAY_SOURCE_ACCESS_KEY": optional,
        "ASSAY_SOURCE_SECRET_KEY": optional,
        "ASSAY_SOURCE_SESSION_TOKEN": True,
        "ASSAY_SOURCE_ENDPOINT": True,
        "ASSAY_SOURCE_REGION": True,
        "ASSAY_SOURCE_CA": True,
    }
    assert (env["ASSAY_SOURCE"], env["ASSAY_FETCH_ENDPOINT"], env["ASSAY_FETCH_CA"]) == (
        "b-keys", "https://store:9000", "PEM",
    )  # fmt: skip


def test_training_containers_mount_the_data_read_only() -> None:
    built = build(OWN, job=job_spec(initContainers=[{"name": "mine"}]))
    for each in [pod_of(built)["initContainers"][-1], *pod_of(built)["containers"]]:
        mounts = [mount for mount in each["volumeMounts"] if mount["mountPath"].startswith("/assay/data")]
        assert mounts == [{"name": "assay-data", "mountPath": "/assay/data", "readOnly": True}]
        paths = {mount["mountPath"] for mount in each["volumeMounts"]}
        assert "/var/lib/assay" not in paths, "the training could write what the report says"


def test_fetching_keeps_to_the_restricted_standard_and_has_no_token() -> None:
    built = build(OWN, job=job_spec(securityContext={"runAsNonRoot": True}))
    [found], ours = fetches(built).values(), pod_of(built)["initContainers"][1]
    assert found["securityContext"] == ours["securityContext"]
    assert found["command"] == ["python", "-m", "assay.fetch"]
    assert "restartPolicy" not in found
    mounted = {mount["mountPath"]: mount for mount in found["volumeMounts"]}
    assert mounted["/var/run/secrets/kubernetes.io/serviceaccount"]["name"] == "assay-no-token"
    assert mounted["/var/lib/assay"] == {"name": "assay-recorder", "mountPath": "/var/lib/assay", "subPath": "datasets"}


RULES = [
    {
        "action": "FailJob",
        "onExitCodes": {"containerName": "assay-fetch-data", "operator": "In", "values": [2, 4, 5]},
    }
]
THEIRS = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"podFailurePolicy": {}}, {}),
        ({"podFailurePolicy": {"rules": [THEIRS]}}, {"rules": [*RULES, THEIRS]}),
        ({"podFailurePolicy": {"rules": [THEIRS] * 20}}, {"rules": [THEIRS] * 20}),
        ({"podFailurePolicy": "x"}, "x"),
        ({"podReplacementPolicy": "Failed"}, {"rules": RULES}),
        ({"podReplacementPolicy": "TerminatingOrFailed"}, None),
    ],
)
def test_a_job_fails_at_once_on_a_permanent_fetch_error(fields: Raw, expected: Any) -> None:
    assert build(OWN, job={**job_spec(), **fields})["spec"].get("podFailurePolicy") == expected


@pytest.mark.parametrize(
    ("phase", "name", "code", "expected"),
    [
        ("Failed", "assay-fetch-data", 4, True),
        ("Failed", "assay-fetch-data-1", 5, True),
        ("Failed", "assay-fetch-data", 2, True),
        ("Failed", "assay-fetch-data", 3, False),
        ("Failed", "mine", 4, False),
        ("Pending", "assay-fetch-data", 4, False),
    ],
)
def test_a_pod_is_final_where_another_pod_would_find_the_same(phase: str, name: str, code: int, expected: bool) -> None:
    recorder: Raw = {"name": "assay-recorder", "state": {"running": {}}}
    statuses = [recorder, {"name": name, "state": {"terminated": {"exitCode": code}}}]
    assert datasets.is_final({"status": {"phase": phase, "initContainerStatuses": statuses}}) is expected
    assert not datasets.is_final({})


def test_pods_restarted_in_place_get_no_pod_failure_policy() -> None:
    assert "podFailurePolicy" not in build(OWN, job=job_spec(restartPolicy="OnFailure"))["spec"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (job_spec(initContainers=[{"name": "assay-fetch-data"}]), "container 'assay-fetch-data': this name is"),
        (job_spec(initContainers=[{"name": "assay-fetch-data-7"}]), "container 'assay-fetch-data-7': this name is"),
        (
            job_spec(initContainers=[{"name": "a", "volumeMounts": [{"name": "m", "mountPath": "/assay/data"}]}]),
            "container 'a' mounts /assay/data: this path is reserved by Assay",
        ),
        (
            job_spec(initContainers=[{"name": "a", "volumeMounts": [{"name": "m", "mountPath": "/assay/data/own/"}]}]),
            "container 'a' mounts /assay/data/own/?: this path is reserved by Assay",
        ),
    ],
)  # fmt: skip
def test_a_template_that_conflicts_with_data_sets_is_refused(spec: Raw, message: str) -> None:
    with pytest.raises(InvalidTemplate, match=message):
        build(OWN, job=spec)


def test_without_data_sets_their_folder_is_the_users() -> None:
    mount = {"name": "m", "mountPath": "/assay/data"}
    assert build(job=job_spec(initContainers=[{"name": "a", "volumeMounts": [mount]}]))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"name": "d", "uri": "hdfs://x/y"}, r"spec.datasets\[d\]: the address hdfs://x/y must begin with s3:// or ht"),
        ({"name": "d", "uri": "https://h/x"}, "a data set from an https:// address needs a digest"),
    ],
)
def test_data_sets_older_than_the_schema_are_refused(dataset: Raw, message: str) -> None:
    with pytest.raises(InvalidTemplate, match=message):
        build(dataset)


# Who may read what


@pytest.mark.parametrize(
    ("uri", "allowed", "fine"),
    [
        ("s3://assay/runs/team/e/r/u/pods/p/artifacts/", "", True),
        ("s3://assay/models/team/digits/v3/artifact/", "", True),
        ("s3://assay/runs/team-two/x/", "", False),
        ("s3://assay/runs/team", "", False),
        ("s3://assay/audit/team/", "", False),
        ("s3://assay/", "", False),
        ("s3://datasets/digits/2.1/", "", False),
        ("s3://datasets/digits/2.1/", "s3://x/ s3://datasets/digits/", True),
        ("s3://datasets/digits", "s3://datasets/digits/", False),
        ("s3://datasets/digits-secret/", "s3://datasets/digits", False),
        ("s3://datasets/digits/", "s3://datasets/", True),
        ("s3://datasets2/digits/", "s3://datasets", False),
    ],
)
def test_a_namespace_reads_its_own_and_what_is_allowed(uri: str, allowed: str, fine: bool) -> None:
    body = run(datasets=[{"name": "d", "uri": uri}])
    assert entitlement.readable(body, "assay", allowed) == ({"d": uri} if fine else {})
    assert bool(entitlement.refusal(body, "assay", allowed)) is not fine


def test_a_refusal_says_what_is_allowed_and_what_to_do() -> None:
    body = run(datasets=[OWN, KEYED, WEB, SHARED])
    assert entitlement.refusal(body, "assay", "s3://x/") == (
        "data set shared: s3://datasets/digits/2.1/ is outside the prefixes that this namespace may read "
        "(s3://assay/runs/team/ s3://assay/models/team/ s3://x/): set secretRef to a Secret with your own keys, or "
        "ask the platform team to add a prefix to the namespace's annotation assay.dev/allowed-prefixes"
    )


def test_data_sets_with_their_own_keys_need_no_entitlement() -> None:
    body = run(datasets=[KEYED, WEB])
    assert entitlement.refusal(body, "assay", "") == ""
    assert entitlement.readable(body, "assay", "s3://payroll/") == {}


# What becomes of it


def fetched(code: int, message: str) -> Raw:
    return container("terminated", name="assay-fetch-data", exitCode=code, reason="Error", message=message)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(4, "DatasetMismatch"), (5, "DatasetMissing"), (1, "DatasetUnavailable"), (2, "DatasetUnavailable"),
     (3, "DatasetUnavailable")],
)  # fmt: skip
def test_a_pod_with_wrong_data_reports_the_reason(code: int, reason: str) -> None:
    waiting = container("waiting", reason="PodInitializing")
    found = pod_facts(pod("Failed", waiting, init=[recorder(), fetched(code, "data set d: …\n")]))
    assert (found.failure_reason, found.failure_message, found.exit_code) == (reason, "data set d: …", code)


def test_a_user_container_with_a_fetch_exit_code_is_not_a_fetch_failure() -> None:
    found = pod_facts(pod("Failed", ended(4, message="mine"), init=[recorder(), fetched(0, "")]))
    assert found.failure_reason == "NonZeroExit"


def test_a_fetch_that_ran_out_of_memory_is_reported_as_oom_killed() -> None:
    killed = container("terminated", name="assay-fetch-data", exitCode=137, reason="OOMKilled")
    found = pod_facts(pod("Failed", container("waiting"), init=[recorder(), killed]))
    assert found.failure_reason == "OOMKilled"


def test_a_pod_that_fetches_data_reports_it() -> None:
    running = container("running", name="assay-fetch-data-1")
    found = pod_facts(pod("Pending", container("waiting", reason="PodInitializing"), init=[recorder(), running]))
    assert (found.waiting_reason, found.waiting_message) == ("FetchingData", "the data sets are being fetched")


def test_a_fetch_retried_in_place_reports_the_reason() -> None:
    last = {"exitCode": 4, "message": "data set d: expected x, found y"}
    waiting = container("waiting", name="assay-fetch-data", last=last, reason="CrashLoopBackOff", message="back-off")
    found = pod_facts(pod("Pending", container("waiting", reason="PodInitializing"), init=[recorder(), waiting]))
    assert found.waiting_reason == "CrashLoopBackOff"
    assert found.waiting_message == "container assay-fetch-data: data set d: expected x, found y"


def test_fetch_containers_are_not_listed_as_images_of_the_run() -> None:
    body = pod("Running", container("running"), init=[recorder(), container("running", name="assay-fetch-data")])
    body["spec"] |= {
        "containers": [{"name": "train", "image": "train:1"}],
        "initContainers": [{"name": "assay-recorder", "image": "a"}, {"name": "assay-fetch-data", "image": "a"}],
    }
    assert [name for name, _, _ in pod_facts(body).images] == ["train"]


def test_a_digest_that_was_found_is_part_of_the_provenance() -> None:
    body = run(datasets=[OWN, SHARED, KEYED])
    other = "sha256:" + "b" * 64
    body["status"] = {"datasets": [{"name": "own", "digest": other}, {"name": "shared", "digest": other}]}
    assert provenance_of(body)["datasets"] == [
        {"name": "own", "uri": "s3://assay/runs/team/x/", "digest": other},
        {"name": "shared", "uri": "s3://datasets/digits/2.1/", "version": "2.1", "digest": DIGEST},
        {"name": "keyed", "uri": "s3://payroll/$(X)/"},
    ]
