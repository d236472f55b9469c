"""Rebuilding from a real store: what the command says of a trail that is whole, damaged, or not there."""

import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.store import layout, numbers
from assay.store.audit import AuditEvent, AuditObject, AuditTrail
from assay.store.audit.sources import key
from assay.store.client import ObjectStore
from assay.store.models import RegisteredModel, copy_model, source_of_uri
from assay.store.restore.__main__ import main
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

Raw = dict[str, Any]


class Team:
    """A namespace in the store: versions, as the operator registers them, and their trail."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.namespace = f"ns-{uuid.uuid4()}"
        self.trail = AuditTrail(store, self.namespace)

    def register(self, version: int, data: bytes) -> RegisteredModel:
        where = f"runs/{self.namespace}/_/r/u/given/{version}/model.bin"
        self.store.put_bytes(where, data)
        source = source_of_uri(self.store, f"s3://{self.store.config.bucket}/{where}")
        digest = f"sha256:{self.store.digest(where)[1]}"
        numbers.claim(self.store, self.namespace, "digits", version, f"manifest/{digest}")
        found = copy_model(self.store, source, self.namespace, "digits", version, digest)
        digests = {"artifact": digest, "manifest": found.manifest_digest}
        self.tell("VersionRegistered", "ModelVersion", f"digits.v{version}", digests=digests, after={"owner": "dora"})
        return found

    def bind(self, version: int, model: RegisteredModel) -> None:
        after = {"version": version, "digest": model.manifest.digest}
        self.tell("AliasBound", "ModelAlias", "digits.champion", after=after)

    def tell(self, action: str, kind: str, name: str, **fields: Any) -> None:
        thing = AuditObject(kind=kind, namespace=self.namespace, name=name, uid="u")
        event = f"{action}/{name}/{uuid.uuid4()}"
        self.trail.append(AuditEvent(event=event, actor="argo", action=action, object=thing, **fields))


@pytest.fixture
def team(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> Team:
    store = minio.store()
    config = store.config
    for name in ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.setenv(f"ASSAY_STORE_{name}", getattr(config, name.lower()))
    return Team(store)


def objects(text: str) -> dict[str, Raw]:
    return {each["metadata"]["name"]: each for each in yaml.safe_load_all(text) if each}


def test_the_restored_manifests_are_written_to_a_file(
    team: Team, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = team.register(1, b"one")
    team.register(2, b"two")
    team.register(10, b"ten")
    team.bind(1, first)
    team.tell("VersionDeleted", "ModelVersion", "digits.v2")
    where = tmp_path / "team.yaml"
    assert main([team.namespace, f"--to={where}", f"--expect={team.trail.head}"]) == 0
    text = where.read_text()
    assert list(objects(text)) == ["digits.v1", "digits.v10", "digits.champion"]
    spec = objects(text)["digits.v1"]["spec"]
    assert spec["owner"] == "dora"
    assert spec["artifact"]["uri"] == f"s3://assay/models/{team.namespace}/digits/v1/"
    assert source_of_uri(team.store, spec["artifact"]["uri"]).digest == spec["artifact"]["digest"]
    assert "Approvals are not included" in text
    assert "# The trail is intact." in text
    assert "# left out: ModelVersion digits.v2: it was deleted at" in text
    told = capsys.readouterr()
    assert "PromotionPolicy: 0, ModelVersion: 2, ModelAlias: 1; left out: 1" in told.err


def test_restore_writes_nothing_to_the_store(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    team.bind(1, team.register(1, b"one"))

    def everything() -> list[tuple[str, int]]:
        return [(info.key, info.size) for info in team.store.list("") if team.namespace in info.key]

    before = everything()
    assert main([team.namespace]) == 0
    assert everything() == before
    assert "Without --expect, missing records at the end of the trail cannot be detected." in capsys.readouterr().out


def test_a_damaged_trail_is_refused(team: Team, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    team.bind(1, team.register(1, b"one"))
    team.register(2, b"two")
    record = team.store.get_bytes(key(team.namespace, 2), 10_000)
    team.store.put_bytes(key(team.namespace, 2), record.replace(b'"version":1,"digest"', b'"version":2,"digest"'))
    where = tmp_path / "team.yaml"
    assert main([team.namespace, f"--to={where}"]) == 1
    assert not where.exists()
    said = capsys.readouterr().err
    assert "NOT INTACT" in said
    assert "nothing was written; --damaged continues anyway" in said
    assert main([team.namespace, f"--to={where}", "--damaged"]) == 0
    assert "# WARNING: these manifests are based on a trail that is not intact." in where.read_text()
    assert "# changed: record 3 does not continue the chain" in where.read_text()


def test_a_trail_that_was_cut_is_refused_by_the_head_that_was_kept(team: Team) -> None:
    team.bind(1, team.register(1, b"one"))
    team.store.delete(key(team.namespace, 2))
    assert main([team.namespace, f"--expect={team.trail.head}"]) == 1


def test_without_a_trail_only_versions_are_restored(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    team.bind(1, team.register(1, b"one"))
    for number in (1, 2):
        team.store.delete(key(team.namespace, number))
    assert main([team.namespace]) == 1
    assert f"audit trail of {team.namespace}: there is none" in capsys.readouterr().err
    assert main([team.namespace, "--damaged"]) == 0
    assert list(objects(capsys.readouterr().out)) == ["digits.v1"]


def test_versions_with_incomplete_bytes_are_left_out(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    model = team.register(1, b"one")
    team.bind(1, model)
    team.store.put_bytes(f"{model.prefix}/artifact/model.bin", b"longer")
    assert main([team.namespace]) == 0
    told = capsys.readouterr()
    assert objects(told.out) == {}
    assert "left out: ModelVersion digits.v1: " in told.err
    assert "expected 3 bytes, found 6" in told.err


def test_looking_up_the_holder_of_a_number_does_not_claim_it(team: Team) -> None:
    assert numbers.holder(team.store, team.namespace, "digits", 7) is None
    assert numbers.claim(team.store, team.namespace, "digits", 7, "run/u") == "run/u"
    assert numbers.holder(team.store, team.namespace, "digits", 7) == "run/u"
    assert list(team.store.folders(f"{layout.number_prefix(team.namespace, 'digits')}/")) == []


@pytest.mark.parametrize("wrong", [["no/namespace"], ["ns", "--expect=x"]])
def test_invalid_arguments_exit_with_code_2(team: Team, wrong: list[str]) -> None:
    assert main(wrong) == 2
