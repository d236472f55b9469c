"""A run's statement: what it says, that in-toto's schemas read it, and that nothing of the recipe is left out."""

from typing import Any

import pytest

from assay.planning.runs import provenance
from assay.planning.runs.provenance import Builder
from assay.signing import dsse
from assay.signing.keys import Keyring, new_key, public_pem
from tests.unit.planning.objects import at, run
from tests.verifiers import open_envelope, read_provenance

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
BUILDER = Builder("https://assay.dev/operator", "0.1.0")
HEX = "0123456789abcdef" * 4
COMMIT = "3f2c0e1d" * 5
SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": COMMIT, "path": "train"}
DATASETS = [
    {"name": "digits", "uri": "s3://datasets/digits/2.1/", "version": "2.1", "digest": f"sha256:{HEX}"},
    {"name": "found", "uri": "s3://datasets/found/"},
    {"name": "unknown", "uri": "s3://datasets/unknown/"},
]


def succeeded(**spec: Any) -> Raw:
    body = run(parameters={"lr": 0.1, "depth": 3, "fast": True}, model={"path": "model"}, **spec)
    body["status"] = {
        "phase": "Succeeded",
        "startTime": at(0),
        "completionTime": at(90),
        "attempts": [{"pod": "sweep-0-a"}, {"pod": "sweep-0-b"}],
        "model": {"path": "model", "digest": f"sha256:{HEX}", "size": 7},
        "images": [
            {"container": "train", "image": "train:1", "digest": f"registry.example.com/train@sha256:{HEX}"},
            {"container": "local", "image": "localhost/local:dev", "digest": f"sha256:{HEX}"},
            {"container": "lost", "image": "lost:1"},
        ],
        "datasets": [{"name": "found", "digest": f"sha256:{HEX}"}],
        "record": {
            "uri": "s3://assay/runs/team/sweep/sweep-0/uid-sweep-0/",
            "artifacts": "s3://assay/runs/team/sweep/sweep-0/uid-sweep-0/pods/sweep-0-b/artifacts/",
            "manifestDigest": f"sha256:{HEX}",
        },
    }
    return body


def dependencies(body: Raw) -> dict[str, Raw]:
    said = provenance.statement(body, BUILDER)["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {each["name"]: each for each in said}


def test_the_statement_is_read_by_in_totos_own_schemas() -> None:
    body = succeeded(source=SOURCE, datasets=DATASETS)
    statement, predicate = read_provenance(provenance.statement(body, BUILDER))

    assert [(each.name, dict(each.digest)) for each in statement.subject] == [("model", {"sha256": HEX})]
    assert statement.subject[0].uri.endswith("/pods/sweep-0-b/artifacts/model")
    assert statement.predicate_type == "https://slsa.dev/provenance/v1"
    assert predicate.build_definition.build_type == "https://assay.dev/run/v1alpha1"
    assert predicate.run_details.builder.id == BUILDER.id
    assert dict(predicate.run_details.builder.version) == {"assay": "0.1.0"}
    metadata = predicate.run_details.metadata
    assert metadata.invocation_id == body["metadata"]["uid"]
    assert metadata.finished_on.seconds - metadata.started_on.seconds == 90
    manifest = predicate.run_details.byproducts[0]
    assert (manifest.name, dict(manifest.digest)) == ("manifest.json", {"sha256": HEX})


def test_the_statement_contains_the_complete_recipe() -> None:
    body = succeeded(source=SOURCE, datasets=DATASETS)
    definition = provenance.statement(body, BUILDER)["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Run",
        "metadata": {"name": "sweep-0", "namespace": "team"},
        "spec": body["spec"],
    }
    assert definition["internalParameters"] == {"experiment": "sweep", "pods": ["sweep-0-a", "sweep-0-b"]}


def test_dependencies_have_digests_where_there_are_some() -> None:
    found = dependencies(succeeded(source=SOURCE, datasets=DATASETS))
    assert {name: each.get("digest") for name, each in found.items()} == {
        "image/train": {"sha256": HEX},
        "image/local": {"sha256": HEX},
        "image/lost": None,
        "source": {"gitCommit": COMMIT},
        "dataset/digits": {"sha256": HEX},
        "dataset/found": {"sha256": HEX},
        "dataset/unknown": None,
    }
    assert found["source"]["uri"] == f"git+https://git.example.com/ml/digits@{COMMIT}"
    assert found["source"]["annotations"] == {"path": "train"}
    assert found["dataset/digits"]["annotations"] == {"version": "2.1"}


@pytest.mark.parametrize(
    ("source", "uri", "digest"),
    [
        ({"repository": "https://h/r", "revision": "main"}, "git+https://h/r@main", None),
        ({"repository": "https://h/r", "revision": COMMIT[:12]}, f"git+https://h/r@{COMMIT[:12]}", None),
        ({"repository": "git+ssh://h/r"}, "git+ssh://h/r", None),
        ({"repository": "r", "revision": HEX}, f"git+r@{HEX}", {"gitCommit": HEX}),
    ],
)
def test_only_a_full_commit_is_a_digest(source: Raw, uri: str, digest: Raw | None) -> None:
    found = dependencies(succeeded(source=source))["source"]
    assert (found["uri"], found.get("digest")) == (uri, digest)


def test_a_run_with_minimal_fields_has_a_statement() -> None:
    body = run(model={"path": "m"})
    body["metadata"].pop("labels")
    body["status"] = {"phase": "Succeeded", "model": {"path": "m", "digest": f"sha256:{HEX}"}}
    statement, predicate = read_provenance(provenance.statement(body, BUILDER))
    assert statement.subject[0].name == "m"
    assert not predicate.build_definition.resolved_dependencies


def test_a_run_without_a_model_has_no_statement() -> None:
    body = succeeded()
    del body["status"]["model"]
    with pytest.raises(ValueError, match="run sweep-0 has produced no model"):
        provenance.statement(body, BUILDER)


def test_an_envelope_is_verifiable_by_others_until_any_byte_changes() -> None:
    from securesystemslib.exceptions import VerificationError

    keyring, other = Keyring.of(new_key()), new_key()
    statement = provenance.statement(succeeded(source=SOURCE), BUILDER)
    envelope = dsse.seal(keyring, statement)
    public = {keyring.signing_id: public_pem(keyring.private.public_key())}  # type: ignore[union-attr]
    data = dsse.to_json(envelope)
    assert open_envelope(data, public) == statement == dsse.open_envelope(keyring, envelope).statement

    payload = envelope["payload"]
    changed = dsse.to_json({**envelope, "payload": payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]})
    with pytest.raises(VerificationError):
        open_envelope(changed, public)
    with pytest.raises(VerificationError):
        open_envelope(data, {keyring.signing_id: public_pem(other.public_key())})
