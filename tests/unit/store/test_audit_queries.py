"""Which version was live, approved by whom, trained on what: from the records alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assay.store.audit.__main__ import main
from assay.store.audit.queries import at
from assay.store.audit.records import EMPTY, Action, AuditRecord

pytestmark = pytest.mark.unit

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class Story:
    """Records, minute by minute."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def tell(self, minute: int, actor: str, action: Action, name: str, **fields: Any) -> None:
        number = len(self.records) + 1
        kind = (
            "ModelAlias"
            if action in (Action.ALIAS_BOUND, Action.ALIAS_RELEASED, Action.ROLLED_BACK)
            else "ModelVersion"
        )
        record = {
            "event": f"e{number}",
            "time": f"2026-01-01T14:{minute:02d}:00Z",
            "actor": actor,
            "action": action,
            "object": {"kind": kind, "namespace": "ns", "name": name},
            "sequence": number,
            "previous": EMPTY.digest,
        }
        self.records.append(AuditRecord.model_validate(record | fields))


@pytest.fixture
def story() -> Story:
    told = Story()
    for number, sha in ((1, ONE), (2, TWO)):
        after = {"run": {"name": f"run-{number}", "uid": "u"}, "datasets": [{"name": "digits", "digest": "sha256:d"}]}
        told.tell(0, "otto", Action.VERSION_REGISTERED, f"digits.v{number}", digests={"artifact": sha}, after=after)
    given = {"digests": {"artifact": ONE}, "after": {"alias": "champion", "id": "a1"}}
    told.tell(1, "anna", Action.APPROVAL_GIVEN, "digits.v1", **given)
    told.tell(1, "bert", Action.APPROVAL_GIVEN, "digits.v1", **given | {"after": {"alias": "champion", "id": "b1"}})
    told.tell(1, "carl", Action.APPROVAL_GIVEN, "digits.v1", **given | {"after": {"alias": "staging", "id": "c1"}})
    told.tell(1, "dora", Action.APPROVAL_GIVEN, "digits.v1", **given | {"digests": {"artifact": TWO}})
    revoked = {"digests": {"artifact": ONE}, "before": {"alias": "champion", "id": "b1"}}
    told.tell(2, "eve", Action.APPROVAL_REVOKED, "digits.v1", **revoked)
    told.tell(3, "argo", Action.ALIAS_BOUND, "digits.champion", after={"version": 1, "digest": ONE}, reason="release")
    told.tell(4, "late", Action.APPROVAL_GIVEN, "digits.v1", **given | {"after": {"alias": "champion", "id": "l1"}})
    told.tell(5, "argo", Action.ALIAS_BOUND, "other.champion", after={"version": 7, "digest": TWO})
    told.tell(6, "argo", Action.ALIAS_BOUND, "digits.champion", after={"version": 2, "digest": TWO})
    told.tell(8, "rita", Action.ROLLED_BACK, "digits.champion", after={"version": 1, "digest": ONE}, reason="too slow")
    told.tell(9, "argo", Action.ALIAS_RELEASED, "digits.champion")
    return told


def moment(minute: int, second: int = 0) -> datetime:
    return datetime(2026, 1, 1, 14, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minute", "version"),
    [(0, None), (2, None), (3, 1), (5, 1), (6, 2), (7, 2), (8, 1), (9, None), (59, None)],
)
def test_the_live_version_at_a_time(story: Story, minute: int, version: int | None) -> None:
    found = at(story.records, "digits", "champion", moment(minute))
    assert (found and found.version) == version


def test_the_approver_and_the_run_of_the_live_version(story: Story) -> None:
    found = at(story.records, "digits", "champion", moment(5))
    assert found is not None
    assert (found.by, found.since, found.until) == ("argo", "2026-01-01T14:03:00Z", "2026-01-01T14:06:00Z")
    assert [approval.approver for approval in found.approvals] == ["anna"]
    assert found.registered is not None
    assert found.registered["run"] == {"name": "run-1", "uid": "u"}
    assert found.registered_by == "otto"


def test_one_second_earlier_the_previous_version_was_live(story: Story) -> None:
    found = at(story.records, "digits", "champion", moment(5, 59))
    assert found is not None
    assert found.version == 1


def test_unrecorded_bindings_are_unknown(story: Story) -> None:
    assert at(story.records, "digits", "shadow", moment(5)) is None
    found = at(story.records, "other", "champion", moment(5))
    assert found is not None
    assert (found.registered, found.registered_by, found.approvals) == (None, "", [])


def test_the_command_line_answers(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(record.to_json() + b"\n" for record in story.records))
    assert main(["at", "ns", "digits.champion", "2026-01-01T14:05:00Z", f"--from={path}"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"digits.champion held version 1 ({ONE})"
    assert told[1] == "  from 2026-01-01T14:03:00Z to 2026-01-01T14:06:00Z, AliasBound by argo: release"
    assert told[2] == "  approved by anna at 2026-01-01T14:01:00Z (a1)"
    assert '"run-1"' in told[3]
    assert main(["at", "ns", "digits.champion", "2026-01-01T14:00:00Z", f"--from={path}", "--json"]) == 0
    assert capsys.readouterr().out == "null\n"
    assert main(["list", "ns", f"--from={path}", "--last=1"]) == 0
    assert "AliasReleased" in capsys.readouterr().out
