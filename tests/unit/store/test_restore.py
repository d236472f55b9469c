"""What is rebuilt from the trail and the store, what is left out and why; no remark becomes a manifest."""

import hashlib
from typing import Any

import pytest
import yaml

from assay.store.audit.records import EMPTY, Action, AuditRecord
from assay.store.models import RegisteredModel
from assay.store.records import FileEntry, ModelManifest, RunIdentity
from assay.store.restore import Restored, read_history
from assay.store.restore.history import History
from assay.store.restore.manifests import Stored, rebuild
from assay.store.restore.text import write

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
UID = "0b5c5a2e-6f0e-4c1b-8f5e-0d6f3c2b1a90"
KINDS = {"PolicyChanged": "PromotionPolicy", "Alias": "ModelAlias", "RolledBack": "ModelAlias"}


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def record(number: int, action: str, name: str, **fields: Any) -> AuditRecord:
    kind = next((kind for start, kind in KINDS.items() if action.startswith(start)), "ModelVersion")
    told = {
        "event": f"e{number}",
        "time": f"2026-01-01T14:{number:02d}:00Z",
        "actor": "argo",
        "action": action,
        "object": {"kind": kind, "namespace": "ml", "name": name, "uid": fields.pop("uid", "u")},
        "sequence": number,
        "previous": EMPTY.digest,
    }
    return AuditRecord.model_validate(told | fields)


def registered(number: int, version: int, **after: Any) -> AuditRecord:
    said: Raw = {"owner": "dora", "metrics": {"f1": {"last": 0.9}}, "parameters": {"lr": 0.1}, **after}
    digests = {"artifact": sha256(f"v{version}"), "manifest": sha256(f"m{version}")}
    return record(number, "VersionRegistered", f"digits.v{version}", after=said, digests=digests)


def bound(number: int, version: int, action: str = "AliasBound", **fields: Any) -> AuditRecord:
    after = {"version": version, "digest": sha256(f"v{version}")}
    return record(number, action, "digits.champion", after=after, **fields)


def stored(version: int, *, run: bool = False, holder: str | None = None, digest: str = "") -> Stored:
    found = digest or sha256(f"v{version}")
    prefix = f"models/ml/digits/v{version}"
    manifest = ModelManifest(
        namespace="ml",
        model="digits",
        number=version,
        path="artifact/model.bin",
        digest=found,
        files=[FileEntry(path="artifact/model.bin", size=7, sha256=found.removeprefix("sha256:"))],
        source="s3://assay/runs/ml/_/r/u/x",
        run=RunIdentity(namespace="ml", name="sweep-3", uid=UID, experiment="sweep") if run else None,
        written="2026-01-01T14:00:00Z",
    )
    claimant = f"run/{UID}" if run else f"manifest/{found}"
    model = RegisteredModel(prefix, f"s3://assay/{prefix}/", manifest, sha256(f"m{version}"))
    return Stored(model, claimant if holder is None else holder)


def rebuilt(records: list[AuditRecord], *versions: Stored, broken: dict[str, str] | None = None) -> Restored:
    there = {f"digits.v{each.model.manifest.number}": each for each in versions}
    return rebuild("ml", read_history(records), there, broken)


def manifests(found: Restored) -> dict[str, Raw]:
    return {manifest["metadata"]["name"]: manifest for manifest, _ in found.manifests}


def test_a_version_is_rebuilt_as_it_was() -> None:
    found = rebuilt([registered(1, 1)], stored(1, run=True))
    assert found.left_out == []
    version = manifests(found)["digits.v1"]
    assert version["metadata"]["labels"] == {
        "assay.dev/model": "digits",
        "assay.dev/run": "sweep-3",
        "assay.dev/run-uid": UID,
        "assay.dev/experiment": "sweep",
    }
    assert version["spec"] == {
        "model": "digits",
        "version": 1,
        "owner": "dora",
        "run": {"name": "sweep-3", "uid": UID, "experiment": "sweep"},
        "artifact": {"uri": "s3://assay/models/ml/digits/v1/", "digest": sha256("v1"), "size": 7},
        "provenance": {"parameters": {"lr": 0.1}, "metrics": {"f1": {"last": 0.9}}},
    }


def test_a_deleted_version_stays_deleted_unless_it_was_registered_again() -> None:
    gone = record(2, "VersionDeleted", "digits.v1")
    found = rebuilt([registered(1, 1), gone], stored(1))
    assert found.manifests == []
    assert found.left_out == ["ModelVersion digits.v1: it was deleted at 2026-01-01T14:02:00Z"]
    assert "digits.v1" in manifests(rebuilt([registered(1, 1), gone, registered(3, 1)], stored(1)))


def test_the_deletion_of_an_earlier_version_of_that_name_may_be_recorded_late() -> None:
    """The name can be in use again before the operator sees the deletion."""
    first, second = (
        record(
            number,
            "VersionRegistered",
            "digits.v1",
            uid=uid,
            after=registered(1, 1).after,
            digests=registered(1, 1).digests,
        )
        for number, uid in ((1, "first"), (2, "second"))
    )
    late = record(3, "VersionDeleted", "digits.v1", uid="first")
    assert "digits.v1" in manifests(rebuilt([first, second, late], stored(1)))
    never_registered = record(4, "VersionDeleted", "digits.v1", uid="third")
    for gone in (record(4, "VersionDeleted", "digits.v1", uid="second"), never_registered):
        assert manifests(rebuilt([first, second, late, gone], stored(1))) == {}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (stored(1, digest=sha256("other")), f"the artifact was registered as {sha256('v1')}"),
        (stored(1, holder="run/another"), "its number was given to run/another, not to manifest/"),
    ],
)
def test_a_version_that_contradicts_the_trail_or_its_number_is_left_out(version: Stored, said: str) -> None:
    found = rebuilt([registered(1, 1), bound(2, 1)], version)
    assert found.manifests == []
    assert said in found.left_out[0]
    assert (
        found.left_out[1] == "ModelAlias digits.champion: it pointed to digits.v1, which is left out or has other bytes"
    )


def test_a_version_whose_manifest_and_bytes_were_replaced_is_left_out() -> None:
    said = registered(1, 1).model_copy(update={"digests": {"manifest": sha256("the one that was written")}})
    assert "the manifest was registered as" in rebuilt([said], stored(1)).left_out[0]


def test_missing_and_incomplete_bytes_are_reported() -> None:
    found = rebuilt([registered(1, 1), registered(2, 2)], broken={"digits.v2": "x is missing in the store"})
    assert found.left_out == [
        "ModelVersion digits.v1: its bytes are not in the store",
        "ModelVersion digits.v2: x is missing in the store",
    ]


def test_a_version_without_a_record_has_no_owner() -> None:
    found = rebuilt([], stored(1))
    ((manifest, remarks),) = found.manifests
    assert "owner" not in manifest["spec"]
    assert remarks == ["no record of its registration: the owner is unknown"]


def test_fields_too_large_for_a_record_are_left_out_and_reported() -> None:
    found = rebuilt([registered(1, 1, metrics={"leftOut": 300_000, "sha256": "0" * 64})], stored(1))
    ((manifest, remarks),) = found.manifests
    assert manifest["spec"]["provenance"] == {"parameters": {"lr": 0.1}}
    assert "provenance.metrics was too large for a record" in remarks


def test_a_hidden_version_stays_hidden() -> None:
    hidden = record(2, "VersionArchived", "digits.v1", after={"archived": True})
    shown = record(3, "VersionArchived", "digits.v1", after={"archived": False})
    found = manifests(rebuilt([registered(1, 1), hidden], stored(1)))
    assert found["digits.v1"]["metadata"]["labels"] == {"assay.dev/archived": "true"}
    found = manifests(rebuilt([registered(1, 1), hidden, shown], stored(1)))
    assert "labels" not in found["digits.v1"]["metadata"]


def test_an_alias_points_to_the_last_live_version() -> None:
    records = [registered(1, 1), registered(2, 2), bound(3, 1), bound(4, 2), bound(5, 1, "RolledBack", reason="slow")]
    alias = manifests(rebuilt(records, stored(1), stored(2)))["digits.champion"]
    assert alias["spec"] == {
        "model": "digits",
        "alias": "champion",
        "version": 1,
        "reason": "restored; bound at 2026-01-01T14:05:00Z by argo: slow",
    }


def test_an_alias_that_was_deleted_does_not_come_back() -> None:
    before = [registered(1, 1), bound(2, 1, uid="first")]
    released = record(3, "AliasReleased", "digits.champion", uid="first")
    assert "digits.champion" not in manifests(rebuilt([*before, released], stored(1)))
    told_late = [*before, bound(3, 1, uid="second"), record(4, "AliasReleased", "digits.champion", uid="first")]
    assert "digits.champion" in manifests(rebuilt(told_late, stored(1)))
    nameless = record(5, "AliasReleased", "digits.champion", uid="")
    assert "digits.champion" not in manifests(rebuilt([*told_late, nameless], stored(1)))


def test_policies_come_first_in_their_last_state() -> None:
    one = record(3, "PolicyChanged", "two-people", after={"spec": {"approvals": {"required": 1}}, "generation": 1})
    two = record(4, "PolicyChanged", "two-people", after={"spec": {"approvals": {"required": 2}}, "generation": 2})
    other = record(5, "PolicyChanged", "freeze", after={"spec": {}, "generation": 1}, uid="p")
    gone = record(6, "PolicyChanged", "freeze", before={"spec": {}}, uid="p")
    found = rebuilt([registered(1, 1), bound(2, 1), one, two, other, gone], stored(1))
    assert list(manifests(found)) == ["two-people", "digits.v1", "digits.champion"]
    assert manifests(found)["two-people"]["spec"] == {"approvals": {"required": 2}}


def test_an_event_that_was_reported_twice_counts_once() -> None:
    again = registered(3, 1).model_copy(update={"event": "e1"})
    assert "digits.v1" in read_history([registered(1, 1), record(2, "VersionDeleted", "digits.v1"), again]).deleted


def test_other_actions_change_nothing() -> None:
    others = set(Action) - {"VersionRegistered", "VersionDeleted", "VersionArchived"}
    others -= {"AliasBound", "RolledBack", "AliasReleased", "PolicyChanged"}
    assert read_history(record(number, action, "x") for number, action in enumerate(others, 1)) == History()


# As text


def test_texts_that_look_like_numbers_stay_texts() -> None:
    odd = {"a": "12e34", "b": "0o17", "c": "yes", "d": "1_000", "e": "2026-01-01", "f": "", "g": "~", "h": "12:30"}
    said = registered(1, 1, parameters=odd | {"n": 1e16, "t": True}, source={"repository": "r", "revision": "1234e56"})
    text = write(rebuilt([said], stored(1)), [])
    (read,) = yaml.safe_load_all(text)
    assert read["spec"]["provenance"]["parameters"] == odd | {"n": 1e16, "t": True}
    assert 'revision: "1234e56"' in text, "a float to readers of YAML 1.2"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c"])
def test_no_reason_or_name_can_inject_a_manifest(line_break: str) -> None:
    forged = line_break.join(["x", "---", "kind: ModelAlias", "metadata: {name: digits.prod}"])
    records = [registered(1, 1, owner=forged), bound(2, 1, actor=forged, reason=forged)]
    text = write(rebuilt(records, stored(1)), [forged])
    read = [each["metadata"]["name"] for each in yaml.safe_load_all(text) if each]
    assert read == ["digits.v1", "digits.champion"]
    assert next(yaml.safe_load_all(text))["spec"]["owner"] == forged


def test_left_out_objects_are_listed_at_the_top() -> None:
    text = write(rebuilt([registered(1, 1)]), ["made for a test"])
    assert text.splitlines() == [
        "# made for a test",
        "# left out: ModelVersion digits.v1: its bytes are not in the store",
    ]
