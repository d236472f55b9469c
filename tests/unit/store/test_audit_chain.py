"""The verifier of the audit trail: whatever is done to a record, it is noticed."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store.audit import signed
from assay.store.audit.__main__ import main
from assay.store.audit.chain import Report, verify
from assay.store.audit.records import EMPTY, Action, AuditEvent, AuditObject, AuditRecord, Head, digest
from assay.store.audit.settings import AuditSettings
from assay.store.audit.signed import Checker, Signature, Signer
from assay.store.audit.sources import Stored, read_export
from assay.store.errors import ConfigError
from assay.store.layout import audit_name

pytestmark = pytest.mark.unit


def event(number: int, namespace: str = "ns") -> AuditEvent:
    thing = AuditObject(kind="ModelVersion", namespace=namespace, name=f"digits.v{number}", uid=f"uid-{number}")
    return AuditEvent(
        event=f"event-{number}",
        time="2026-01-01T00:00:00Z",
        actor="anna \u2028 ü",
        action=Action.APPROVAL_GIVEN,
        object=thing,
        digests={"artifact": "sha256:" + "a" * 64},
        after={"alias": "champion", "id": "x"},
        reason="good\nenough",
    )


def trail(length: int, namespace: str = "ns") -> list[Stored]:
    files: list[Stored] = []
    previous = EMPTY.digest
    for number in range(1, length + 1):
        fields = event(number, namespace).model_dump() | {"sequence": number, "previous": previous}
        data = AuditRecord.model_validate(fields).to_json()
        files.append(Stored(audit_name(number), data))
        previous = digest(data)
    return files


def data_of(file: Stored) -> bytes:
    assert file.data is not None
    return file.data


def head_of(files: list[Stored]) -> Head:
    return Head(len(files), digest(data_of(files[-1])))


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


LENGTH = 7
TRAIL = trail(LENGTH)
HEAD = head_of(TRAIL)
index = st.integers(0, LENGTH - 1)


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_a_whole_trail_is_intact(length: int) -> None:
    files = trail(length)
    report = verify("ns", files, [head_of(files)] if files else [EMPTY])
    assert report.intact
    assert (report.records, report.head) == (length, head_of(files) if files else EMPTY)


def test_a_record_is_one_line_and_round_trips() -> None:
    data = data_of(TRAIL[0])
    assert b"\n" not in data
    assert AuditRecord.model_validate_json(data).to_json() == data


@given(index, st.data())
def test_any_changed_byte_is_detected(position: int, data: st.DataObject) -> None:
    original = data_of(TRAIL[position])
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[at]))
    changed = original[:at] + bytes([byte]) + original[at + 1 :]
    files = [*TRAIL[:position], Stored(TRAIL[position].name, changed), *TRAIL[position + 1 :]]
    assert not verify("ns", files, [HEAD]).intact
    if position < LENGTH - 1:  # what the chain alone shows
        assert not verify("ns", files).intact


@given(index, st.binary(max_size=400))
def test_any_changed_record_is_detected(position: int, content: bytes) -> None:
    files = [*TRAIL]
    files[position] = Stored(files[position].name, content)
    assert verify("ns", files, [HEAD]).intact == (content == TRAIL[position].data)


FIELDS = st.sampled_from(["actor", "time", "action", "event", "reason", "digests", "object", "after", "before"])
VALUES = st.sampled_from(["mallory", "2027-01-01T00:00:00Z", "RolledBack", {}, {"kind": "Run"}, None, 1])


@given(index, FIELDS, VALUES)
def test_a_rewritten_field_is_detected(position: int, name: str, value: object) -> None:
    record = json.loads(data_of(TRAIL[position]))
    if record[name] == value:
        return
    record[name] = value
    files = [*TRAIL]
    files[position] = Stored(files[position].name, json.dumps(record, separators=(",", ":")).encode())
    assert not verify("ns", files, [HEAD]).intact


@given(st.lists(index, unique=True, min_size=1, max_size=LENGTH))
def test_removed_records_are_detected(removed: list[int]) -> None:
    files = [file for position, file in enumerate(TRAIL) if position not in removed]
    report = verify("ns", files, [HEAD])
    assert not report.intact
    assert set(kinds(report)) <= {"missing", "cut"}
    inside = max(position for position in range(LENGTH) if position not in removed) + 1 if files else 0
    if any(position < inside for position in removed):
        assert "missing" in kinds(verify("ns", files))


@given(st.permutations(range(LENGTH)))
def test_swapped_records_are_detected(order: list[int]) -> None:
    files = [Stored(TRAIL[place].name, TRAIL[number].data) for place, number in enumerate(order)]
    assert verify("ns", files).intact == (order == list(range(LENGTH)))


@given(st.permutations(range(LENGTH)))
def test_reordered_lines_are_detected(order: list[int]) -> None:
    assert verify("ns", [TRAIL[number] for number in order]).intact == (order == list(range(LENGTH)))


@given(index, st.integers(0, LENGTH))
def test_a_repeated_line_is_detected(position: int, place: int) -> None:
    assert not verify("ns", [*TRAIL[:place], TRAIL[position], *TRAIL[place:]]).intact


def test_a_trail_that_was_cut_needs_an_expected_head() -> None:
    cut = TRAIL[:4]
    assert verify("ns", cut).intact
    report = verify("ns", cut, [HEAD])
    assert [finding.message for finding in report.findings] == [
        "the trail ends with record 4, but record 7 was written: it was truncated"
    ]


def test_a_rewritten_trail_needs_an_expected_head() -> None:
    other = trail(3)
    forged = AuditRecord.model_validate_json(data_of(other[2])).model_copy(update={"actor": "mallory"}).to_json()
    rewritten = [*other[:2], Stored(other[2].name, forged)]
    assert verify("ns", rewritten).intact
    assert kinds(verify("ns", rewritten, [head_of(other)])) == ["changed"]


def test_a_trail_that_has_grown_is_what_was_expected() -> None:
    assert verify("ns", TRAIL, [head_of(TRAIL[:3]), HEAD]).intact


def test_the_trail_of_another_namespace_is_detected() -> None:
    assert set(kinds(verify("other", TRAIL))) == {"misplaced"}


@pytest.mark.parametrize(
    "name", ["note.txt", "1.json", "000000000001.json.bak", "a/000000000001.json", "000000000000.json"]
)
def test_foreign_files_are_detected(name: str) -> None:
    assert kinds(verify("ns", [Stored(name, b"{}"), *TRAIL])) == ["foreign"]


def test_findings_name_the_record() -> None:
    files = [*TRAIL]
    files[2] = Stored(files[2].name, data_of(files[2]).replace(b"anna", b"eve."))
    del files[5]
    messages = [finding.message for finding in verify("ns", files).findings]
    assert messages == [
        "record 4 does not continue the chain: record 4 or record 3 was changed",
        "record 6 is missing",
    ]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_an_export_is_verified_without_a_store(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trail.jsonl"
    if kind == "folder":
        path = tmp_path / "trail"
        path.mkdir()
        for file in TRAIL:
            (path / file.name).write_bytes(data_of(file))
    else:
        path.write_bytes(b"".join(data_of(file) + b"\n" for file in TRAIL))
    assert list(read_export(path)) == TRAIL
    (tmp_path / "head").write_text(f"{HEAD}\n")
    arguments = ["verify", "ns", f"--from={path}", f"--expect=@{tmp_path / 'head'}"]
    assert main(arguments) == 0
    assert f"audit trail of ns: intact, 7 records, head {HEAD}" in capsys.readouterr().out
    assert main([*arguments, "--expect=9:" + "0" * 64]) == 1
    assert "cut: the trail ends with record 7, but record 9 was written" in capsys.readouterr().out


def test_a_trail_is_not_proven_without_a_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trail that was cut to half its length has no fault of its own."""
    half = tmp_path / "trail.jsonl"
    half.write_bytes(b"".join(data_of(file) + b"\n" for file in TRAIL[:3]))
    assert main(["verify", "ns", f"--from={half}"]) == 4
    assert "audit trail of ns: NOT PROVEN, 3 records" in capsys.readouterr().out
    assert main(["verify", "ns", f"--from={half}", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["intact"] is False
    assert main(["verify", "ns", f"--from={half}", f"--expect={HEAD}"]) == 1


# Signatures. Here the key is a word; tests/unit/signing and tests/integration/test_auditing.py have real ones.


def by(word: bytes) -> Signer:
    return lambda line: Signature("a" * 64, hashlib.sha256(word + line).digest())


def is_by(word: bytes) -> Checker:
    return lambda signature, line: "" if signature == by(word)(line) else "the signature is not over these bytes"


def signed_trail(length: int, *, unsigned: int = 0, word: bytes = b"operator") -> list[Stored]:
    """A trail whose first ``unsigned`` records are from before there was a key."""
    files: list[Stored] = []
    previous = EMPTY.digest
    for number in range(1, length + 1):
        fields = event(number).model_dump() | {"sequence": number, "previous": previous}
        line = AuditRecord.model_validate(fields).to_json()
        data = line if number <= unsigned else signed.attach(line, by(word)(line))
        files.append(Stored(audit_name(number), data))
        previous = digest(data)
    return files


def continued(files: list[Stored], word: bytes | None) -> list[Stored]:
    """The trail with one more record, by somebody who holds the store: with no signature, or one by another key."""
    fields = event(len(files) + 1).model_dump() | {"sequence": len(files) + 1, "previous": head_of(files).digest}
    line = AuditRecord.model_validate(fields).to_json()
    data = line if word is None else signed.attach(line, by(word)(line))
    return [*files, Stored(audit_name(len(files) + 1), data)]


def test_signed_records_are_valid_and_their_signatures_verify() -> None:
    files = signed_trail(5, unsigned=2)
    report = verify("ns", files, [head_of(files)], is_by(b"operator"))
    assert (report.proven, report.signed) == (True, 3)
    assert verify("ns", files).signed is None
    for file in files[2:]:
        line, signature = signed.detach(data_of(file))
        assert signature is not None
        assert signed.attach(line, signature) == data_of(file)
        assert AuditRecord.model_validate_json(data_of(file)).to_json() == line


@pytest.mark.parametrize(("word", "kind"), [(None, "unsigned"), (b"attacker", "forged")])
def test_a_record_that_the_store_s_holder_appends_is_seen(word: bytes | None, kind: str) -> None:
    files = continued(signed_trail(3), word)
    assert verify("ns", files, [head_of(files[:3])]).proven, "the chain alone cannot tell"
    assert kinds(verify("ns", files, [head_of(files[:3])], is_by(b"operator"))) == [kind]


def test_a_whole_trail_by_another_key_is_forged() -> None:
    files = signed_trail(3, word=b"attacker")
    assert kinds(verify("ns", files, [], is_by(b"operator"))) == ["forged"] * 3


@given(st.integers(0, 2), st.data())
def test_no_byte_of_a_signed_record_can_be_changed(number: int, data: st.DataObject) -> None:
    files = signed_trail(3)
    found = bytearray(data_of(files[number]))
    place = data.draw(st.integers(0, len(found) - 1))
    found[place] ^= data.draw(st.integers(1, 255))
    files[number] = Stored(files[number].name, bytes(found))
    assert not verify("ns", files, [head_of(signed_trail(3))], is_by(b"operator")).intact


def test_a_broken_line_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(data_of(file) + b"\n" for file in TRAIL[:3]) + b"[" * 5000 + b"\n")
    assert kinds(verify("ns", read_export(path))) == ["foreign"]


def test_invalid_arguments_print_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "ns", f"--from={tmp_path / 'none'}"]) == 2
    assert main(["verify", "ns", f"--from={tmp_path}", "--expect=7"]) == 2
    assert main(["at", "ns", "digits", "2026-01-01T00:00:00Z", f"--from={tmp_path}"]) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 3
    assert "'7' is not <sequence>:<sha256 of that record>" in complaints[1]


@pytest.mark.parametrize("days", ["-1", "x", "1.5", "99999999"])
def test_a_wrong_retention_is_refused_by_name(days: str) -> None:
    with pytest.raises(ConfigError, match="ASSAY_AUDIT_RETENTION_DAYS"):
        AuditSettings.from_environment({"ASSAY_AUDIT_RETENTION_DAYS": days})


def test_settings() -> None:
    assert AuditSettings.from_environment({}) == AuditSettings()
    found = AuditSettings.from_environment({"ASSAY_AUDIT_RETENTION_DAYS": "30", "ASSAY_AUDIT_BUCKET": "trail"})
    assert found.bucket == "trail"
    assert found.retention
    assert found.retention.days == 30
