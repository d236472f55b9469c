"""The registry's controllers on a real API server and a real store, without a node: register, judge, bind, go back."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from assay.api import names
from assay.store import audit
from tests import operators, registry
from tests.cluster import calls
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, condition

pytestmark = pytest.mark.integration

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    with registry.operator(control_plane, tmp_path_factory) as process:
        yield process


class Models(Objects):
    """A namespace with models in it, and people who approve of them."""

    def register(self, model: str, version: int, data: bytes, *, archived: bool = False, **spec: Any) -> Raw:
        """Put bytes into the store and apply a manifest that names them; return the digest's text in it."""
        key = f"runs/{self.namespace}/_/r/u{version}/given/model.bin"
        self.store.put_bytes(key, data, "application/octet-stream")
        artifact = {"uri": f"s3://{self.store.config.bucket}/{key}", "digest": sha256(data)}
        manifest = registry.model_version(model, version, namespace=self.namespace, owner="dora", artifact=artifact)
        manifest["spec"] |= spec
        if archived:
            manifest["metadata"]["labels"] = {names.LABEL_ARCHIVED: "true"}
        self.apply(manifest)
        return manifest

    def wait(self, kind: str, name: str, what: str, holds: Callable[[Raw], Any], seconds: float = 20) -> Raw:
        """Wait until something holds of an object that may say nothing yet."""

        def there(found: Raw) -> bool:
            try:
                return bool(holds(found))
            except KeyError:
                return False

        return super().wait(kind, name, what, there, seconds)

    def registered(self, model: str, version: int, data: bytes, **spec: Any) -> Raw:
        """The same, and wait until its bytes are registered."""
        self.register(model, version, data, **spec)
        return self.wait("modelversion", f"{model}.v{version}", "Ready", lambda o: o["status"]["phase"] == "Ready", 30)

    def approve(self, version: str, alias: str, user: str, number: str = "1") -> None:
        digest = self.get("modelversion", version)["spec"]["artifact"]["digest"]
        self._annotate("modelversion", version, f"{alias}.approval.assay.dev/{number}", f"{digest} {user}", user)

    def roll_back(self, name: str, version: int, user: str, reason: str = "") -> None:
        request = f"{version} {user}" + (f"\n{reason}" if reason else "")
        self._annotate("modelalias", name, names.ANNOTATION_ROLLBACK, request, user)

    def _annotate(self, kind: str, name: str, key: str, value: str, user: str) -> None:
        who = calls.Who(user, calls.MASTERS)
        calls.patch(self.cluster, self.namespace, kind, name, {"metadata": {"annotations": {key: value}}}, who=who)

    def alias(self, name: str, what: str, holds: Any, seconds: float = 20) -> Raw:
        return self.wait("modelalias", name, what, holds, seconds)

    def want(self, name: str, version: int) -> None:
        calls.patch(self.cluster, self.namespace, "modelalias", name, {"spec": {"version": version}})

    def bound(self, name: str, version: int) -> Raw:
        return self.alias(name, f"bound to v{version}", lambda o: o["status"].get("boundVersion") == version)

    def trail(self) -> list[audit.AuditRecord]:
        found = audit.sources.read_store(self.store, self.namespace)
        return [audit.AuditRecord.model_validate_json(item.data) for item in found if item.data]

    def actions(self, name: str = "") -> list[str]:
        return [record.action for record in self.trail() if name in ("", record.object.name)]


def person(user: str) -> tuple[str, str]:
    """Who may do everything, under a name."""
    return f"--as={user}", "--as-group=system:masters"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def models(control_plane: LocalCluster, operator: operators.OperatorProcess, namespace: str) -> Models:
    assert operator.running, operator.tail()
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    return models


def open_policy(name: str = "open", **spec: Any) -> Raw:
    """A policy that asks for nothing but what is given."""
    evidence = {"artifactVerified": True, "provenanceVerified": False}
    base = {"approvals": {"required": 0}, "evidence": evidence}
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "PromotionPolicy",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


def moved_from_1_to_2(models: Models) -> None:
    """A policy that asks for nothing, two versions, and an alias that points to the second and pointed to the first."""
    models.apply(open_policy())
    for version in (1, 2):
        models.registered("digits", version, b"v%d" % version)
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound("digits.champion", 1)
    models.want("digits.champion", 2)
    models.bound("digits.champion", 2)


def test_a_recreated_alias_keeps_the_history_of_the_deleted_one(models: Models) -> None:
    """A file that was removed from Git by mistake costs neither the history nor the way back."""
    moved_from_1_to_2(models)
    models.kubectl("delete", "modelalias", "digits.champion", "--wait=true")
    models.apply(registry.model_alias("digits", "champion", 2))
    found = models.bound("digits.champion", 2)
    assert [each["version"] for each in found["status"]["history"]] == [1, 2, 2]
    assert found["status"]["previousVersion"] == 1
    models.roll_back("digits.champion", 1, "walter")
    models.bound("digits.champion", 1)


def test_a_manifest_gets_its_bytes_copied_and_verified(models: Models) -> None:
    found = models.registered("digits", 1, b"the model")
    artifact = found["status"]["artifact"]
    assert artifact["digest"] == sha256(b"the model")
    assert artifact["path"] == "model.bin"
    assert condition(found, "ArtifactVerified")["status"] == "True"
    origin = condition(found, "ProvenanceVerified")
    assert (origin["status"], origin["reason"]) == ("False", "Claimed")
    key = f"models/{models.namespace}/digits/v1/artifact/model.bin"
    assert models.store.get_bytes(key, 100) == b"the model"
    assert models.actions("digits.v1") == ["VersionRegistered"]


def test_other_bytes_than_the_manifest_says_are_refused_for_good(models: Models) -> None:
    models.register(
        "digits",
        1,
        b"the model",
        artifact={
            "uri": f"s3://assay/runs/{models.namespace}/_/r/u1/given/model.bin",
            "digest": sha256(b"another model"),
        },
    )
    found = models.wait("modelversion", "digits.v1", "Failed", lambda o: o["status"]["phase"] == "Failed", 20)
    verified = condition(found, "ArtifactVerified")
    assert (verified["status"], verified["reason"]) == ("False", "DigestMismatch")
    assert sha256(b"another model") in verified["message"]
    assert sha256(b"the model") in verified["message"]
    assert models.actions("digits.v1") == ["RegistrationRefused"]


def test_bytes_of_another_namespace_are_refused_by_the_operator_too(
    models: Models, operator: operators.OperatorProcess
) -> None:
    operator.kill()
    allowed = f"{names.ANNOTATION_ALLOWED_PREFIXES}=s3://assay/runs/other/"
    models.cluster.kubectl("annotate", "namespace", models.namespace, allowed)
    artifact = {"uri": "s3://assay/runs/other/_/r/u/given/x", "digest": sha256(b"x")}

    def created() -> bool:
        try:
            models.register("digits", 1, b"x", artifact=artifact)
        except ClusterError:  # the API server has not heard of the annotation yet
            return False
        return True

    wait_for("the version to be let in", created, seconds=10)
    models.cluster.kubectl("annotate", "namespace", models.namespace, f"{names.ANNOTATION_ALLOWED_PREFIXES}-")
    operator.start().wait_ready()
    found = models.wait("modelversion", "digits.v1", "Failed", lambda o: o["status"]["phase"] == "Failed", 20)
    assert condition(found, "ArtifactVerified")["reason"] == "NotEntitled"


def test_a_version_number_is_never_reused_for_other_bytes(models: Models) -> None:
    models.registered("digits", 1, b"first")
    models.kubectl("delete", "modelversion", "digits.v1")
    models.register("digits", 1, b"second")
    found = models.wait("modelversion", "digits.v1", "Failed", lambda o: o["status"]["phase"] == "Failed", 20)
    assert "numbers are never reused" in found["status"]["message"]
    models.kubectl("delete", "modelversion", "digits.v1")
    models.registered("digits", 1, b"first")


def test_an_alias_is_blocked_until_someone_other_than_the_owner_approves(models: Models) -> None:
    models.registered("digits", 1, b"one")
    models.apply(registry.model_alias("digits", "champion", 1))
    held = models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    assert held["status"]["message"] == "v1 is blocked: needs 1 more approval for champion: has 0 of 1"
    models.approve("digits.v1", "champion", "dora")
    models.alias(
        "digits.champion", "the owner", lambda o: "the owner's approval does not count" in o["status"]["message"]
    )
    models.approve("digits.v1", "champion", "rita", "2")
    bound = models.bound("digits.champion", 1)
    assert bound["status"]["phase"] == "Bound"
    assert bound["status"]["history"][0]["version"] == 1
    assert bound["status"]["requirements"] == []
    version = models.get("modelversion", "digits.v1")
    assert version["metadata"]["labels"][names.LABEL_BOUND] == "true"
    actions = models.actions()
    assert actions.index("AliasBound") > max(i for i, each in enumerate(actions) if each == "ApprovalGiven")
    models.wait("modelversion", "digits.v1", "its alias", lambda o: o["status"].get("aliases") == ["champion"], 10)


def test_a_gate_compares_with_the_live_version_and_reports_it(models: Models) -> None:
    gate = {"name": "better", "expression": "current == null || candidate.metrics.f1.last >= current.metrics.f1.last"}
    models.apply(open_policy(gates=[gate]))
    for version, value in ((1, 0.9), (2, 0.8)):
        provenance = {"metrics": {"f1": {"last": value}}}
        models.registered("digits", version, b"v%d" % version, provenance=provenance)
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound("digits.champion", 1)
    models.want("digits.champion", 2)
    held = models.alias("digits.champion", "held", lambda o: o["status"]["phase"] == "Held")
    assert held["status"]["boundVersion"] == 1
    assert "candidate.metrics.f1.last is 0.8, current.metrics.f1.last is 0.9" in held["status"]["message"]
    models.kubectl("delete", "promotionpolicy", "open")
    models.apply(open_policy("lenient"))
    moved = models.bound("digits.champion", 2)
    assert [each["version"] for each in moved["status"]["history"]] == [1, 2]
    assert moved["status"]["history"][0]["to"] == moved["status"]["history"][1]["from"]
    models.wait(
        "modelversion", "digits.v1", "no label", lambda o: names.LABEL_BOUND not in o["metadata"].get("labels", {}), 10
    )


def test_an_unreadable_policy_is_reported_and_blocks_its_aliases(models: Models) -> None:
    models.apply(open_policy(gates=[{"name": "odd", "expression": "candidate.oops >"}]))
    found = models.wait("promotionpolicy", "open", "Ready", lambda o: condition(o, "Ready"), 10)
    assert condition(found, "Ready")["status"] == "False"
    assert "gate odd: line 1, column" in found["status"]["message"]
    models.registered("digits", 1, b"one")
    models.apply(registry.model_alias("digits", "champion", 1))
    held = models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    assert "gate odd cannot be read" in held["status"]["message"]


def test_a_rollback_needs_no_approval_and_stays_until_the_spec_changes(models: Models) -> None:
    moved_from_1_to_2(models)
    models.apply(open_policy(approvals={"required": 5}))
    models.roll_back("digits.champion", 1, "walter", "latency")
    back = models.bound("digits.champion", 1)
    last = back["status"]["history"][-1]
    assert (last["version"], last["actor"], last["reason"]) == (1, "walter", "latency")
    cleared = models.alias(
        "digits.champion",
        "the wish to be cleared",
        lambda o: names.ANNOTATION_ROLLBACK not in o["metadata"].get("annotations", {}),
    )
    assert cleared["spec"]["version"] == 2
    assert cleared["status"]["setAside"]["version"] == 2
    assert cleared["status"]["phase"] == "Bound"
    assert "rolled back from v2 to v1 by walter: latency" in cleared["status"]["message"]
    assert [r.action for r in models.trail() if r.object.name == "digits.champion"] == [
        "AliasBound",
        "AliasBound",
        "RolledBack",
    ]
    models.kubectl("patch", "modelalias", "digits.champion", "--type=merge", "-p", '{"spec": {"reason": "again"}}')
    models.alias("digits.champion", "held", lambda o: o["status"]["phase"] == "Held")


def test_a_namespace_can_opt_out_of_the_default(models: Models) -> None:
    models.registered("digits", 1, b"one")
    models.apply(registry.model_alias("digits", "champion", 1))
    models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    models.cluster.kubectl("annotate", "namespace", models.namespace, f"{names.ANNOTATION_OPEN}=true")
    models.bound("digits.champion", 1)


def test_a_rollback_written_with_the_spec_sets_the_other_version_aside(models: Models) -> None:
    moved_from_1_to_2(models)
    patch = {"metadata": {"annotations": {names.ANNOTATION_ROLLBACK: "1 walter"}}, "spec": {"version": 1}}
    models.kubectl("patch", "modelalias", "digits.champion", "--type=merge", "-p", json.dumps(patch), *person("walter"))
    back = models.bound("digits.champion", 1)
    assert back["status"]["setAside"]["version"] == 2
    assert back["status"]["history"][-1]["actor"] == "walter"


def test_a_rollback_to_the_live_version_keeps_it_live(models: Models) -> None:
    models.apply(open_policy(approvals={"required": 1}))
    for version in (1, 2):
        models.registered("digits", version, b"v%d" % version)
    models.approve("digits.v1", "champion", "rita")
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound("digits.champion", 1)
    models.want("digits.champion", 2)
    models.alias("digits.champion", "held", lambda o: o["status"]["phase"] == "Held")
    models.roll_back("digits.champion", 1, "walter")
    models.alias("digits.champion", "set aside", lambda o: o["status"]["setAside"]["version"] == 2)
    models.approve("digits.v2", "champion", "rita", "2")
    models.wait(
        "modelversion", "digits.v2", "the approval to be seen", lambda o: o["status"]["approvals"][0]["approver"]
    )
    found = models.alias("digits.champion", "bound", lambda o: o["status"]["phase"] == "Bound")
    assert found["status"]["boundVersion"] == 1
    assert len(found["status"]["history"]) == 1
    assert models.actions("digits.champion") == ["AliasBound", "BindingRefused", "RolledBack"]


def test_a_rollback_that_cannot_be_done_is_declined(models: Models) -> None:
    moved_from_1_to_2(models)
    models.wait(
        "modelversion", "digits.v1", "no label", lambda o: names.LABEL_BOUND not in o["metadata"].get("labels", {}), 10
    )
    with registry.without_policy(models.cluster, "assay-versions"):
        models.kubectl("delete", "modelversion", "digits.v1")
    models.roll_back("digits.champion", 1, "walter")
    models.alias(
        "digits.champion",
        "the wish to be cleared",
        lambda o: names.ANNOTATION_ROLLBACK not in o["metadata"].get("annotations", {}),
    )
    refused = [record for record in models.trail() if record.action == "BindingRefused"]
    assert [(record.actor, record.reason) for record in refused] == [("walter", "there is no digits.v1")]


def test_the_deletion_of_a_policy_is_recorded(models: Models) -> None:
    models.apply(open_policy())
    wait_for("the policy to be recorded", lambda: models.actions("open") == ["PolicyChanged"], seconds=10)
    models.kubectl("delete", "promotionpolicy", "open")
    wait_for("its deletion to be recorded", lambda: models.actions("open") == ["PolicyChanged"] * 2, seconds=10)
    assert models.trail()[-1].after is None


def test_a_version_that_is_archived_from_the_beginning_is_recorded_as_such(models: Models) -> None:
    manifest = models.register("digits", 1, b"one", archived=True)
    assert manifest["metadata"]["labels"] == {names.LABEL_ARCHIVED: "true"}
    models.wait("modelversion", "digits.v1", "Archived", lambda o: o["status"]["phase"] == "Archived", 20)
    assert models.actions("digits.v1") == ["VersionRegistered", "VersionArchived"]


def test_an_archived_version_is_barred(models: Models) -> None:
    models.apply(open_policy())
    models.registered("digits", 1, b"one")
    models.kubectl("label", "modelversion", "digits.v1", f"{names.LABEL_ARCHIVED}=true")
    models.wait("modelversion", "digits.v1", "Archived", lambda o: o["status"]["phase"] == "Archived", 10)
    models.apply(registry.model_alias("digits", "champion", 1))
    held = models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    assert "digits.v1 is archived" in held["status"]["message"]
    models.kubectl("label", "modelversion", "digits.v1", f"{names.LABEL_ARCHIVED}-")
    models.bound("digits.champion", 1)
    assert models.actions("digits.v1").count("VersionArchived") == 2


def test_bindings_of_a_deleted_alias_are_kept_on_its_versions(models: Models) -> None:
    models.apply(open_policy())
    models.registered("digits", 1, b"one")
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound("digits.champion", 1)
    models.kubectl("delete", "modelalias", "digits.champion")
    found = models.wait(
        "modelversion", "digits.v1", "no label", lambda o: names.LABEL_BOUND not in o["metadata"].get("labels", {}), 10
    )
    stretch = found["status"]["held"][0]
    assert stretch["alias"] == "champion"
    assert stretch["to"]
    assert models.actions("digits.champion") == ["AliasBound", "AliasReleased"]
    models.kubectl("delete", "modelversion", "digits.v1")
    wait_for("the deletion to be recorded", lambda: "VersionDeleted" in models.actions("digits.v1"), seconds=10)


def test_a_missing_version_is_waited_for(models: Models) -> None:
    models.apply(open_policy())
    models.apply(registry.model_alias("digits", "champion", 1))
    held = models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    assert "digits.v1 does not exist" in held["status"]["message"]
    models.registered("digits", 1, b"one")
    models.bound("digits.champion", 1)


def test_the_head_of_the_trail_is_kept_in_the_cluster(models: Models) -> None:
    models.registered("digits", 1, b"one")

    def head() -> str:
        try:
            text = models.cluster.kubectl("-n", operators.NAMESPACE, "get", "configmap", "assay-audit-heads", "-ojson")
        except ClusterError:
            return ""
        return str(json.loads(text).get("data", {}).get(models.namespace, ""))

    wait_for("the head to be kept", partial(lambda: head().startswith("1:")), seconds=10)
    assert audit.verify_store(models.store, models.namespace, [audit.Head.parse(head())]).findings == []


def test_a_restarted_operator_writes_nothing(
    models: Models, operator: operators.OperatorProcess, control_plane: LocalCluster
) -> None:
    models.apply(open_policy())
    models.registered("digits", 1, b"one")
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound("digits.champion", 1)
    models.wait("modelversion", "digits.v1", "its alias", lambda o: o["status"].get("aliases") == ["champion"], 10)

    def state() -> list[str]:
        kinds = ("modelversion", "modelalias", "promotionpolicy")
        return [each["metadata"]["resourceVersion"] for kind in kinds for each in models.all(kind)]

    before = state()
    operator.kill()
    operator.start().wait_ready()
    models.registered("digits", 2, b"two")
    models.kubectl("delete", "modelversion", "digits.v2")
    assert state() == before
