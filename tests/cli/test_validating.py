"""`assay validate` beside the real API server: what the one refuses the other refuses, for every kind."""

import json
from pathlib import Path
from typing import Any

import pytest

from assay.cli.manifests.validate import check
from tests import registry
from tests.cli import golden
from tests.cli.conftest import run
from tests.cluster.errors import ClusterError
from tests.conftest import Cluster
from tests.integration.test_schema import Change, changed, put

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
VERSION = registry.model_version("digits", 1, namespace="x")
ALIAS = registry.model_alias("digits", "champion", 1)
POLICY: Raw = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "PromotionPolicy",
    "metadata": {"name": "champion"},
    "spec": {
        "gates": [{"name": "good", "expression": "candidate.metrics.f1.last > 0.9"}],
        "freeze": [{"name": "night", "weekly": {"days": ["Mon"]}}],
    },
}
TIMES = {"name": "a", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00+01:00"}

REFUSED: list[tuple[Raw, Change]] = [
    (VERSION, put("metadata.name", "digits.v2")),
    (VERSION, put("spec.model", "Digits")),
    (VERSION, put("spec.version", 0)),
    (VERSION, put("spec.version", 1.5)),
    (VERSION, put("spec.version", "1")),
    (VERSION, put("spec.artifact.digest", "sha256:1")),
    (VERSION, put("spec.artifact.uri", ...)),
    (VERSION, put("spec.artifact.uri", "s3://assay/runs/../x")),
    (VERSION, put("spec.artifact.uri", "s3://assay/a b")),
    (VERSION, put("spec.artifact.path", "/model")),
    (VERSION, put("spec.artifact.size", -1)),
    (VERSION, put("spec.run", {"name": "r"})),
    (VERSION, put("spec.provenance", {"metrics": {"f1": {"min": 1}}})),
    (VERSION, put("spec.provenance", {"parameters": [1]})),
    (VERSION, put("spec.owner", "")),
    (VERSION, put("spec.artefact", {})),
    (ALIAS, put("metadata.name", "digits-champion")),
    (ALIAS, put("spec.alias", "v3")),
    (ALIAS, put("spec.reason", "x" * 501)),
    (ALIAS, put("spec.version", ...)),
    (ALIAS, put("spec.version", None)),
    (POLICY, put("metadata.name", "a.b")),
    (POLICY, put("metadata.name", "-a")),
    (POLICY, put("metadata.labels", {"a": "b c"})),
    (POLICY, put("metadata.labels", {"a": 1})),
    (POLICY, put("metadata.annotations", {"a": True})),
    (POLICY, put("spec.mode", "enforce")),
    (POLICY, put("spec.match", {"models": []})),
    (POLICY, put("spec.match", {"aliases": ["a b"]})),
    (POLICY, put("spec.approvals", {"required": -1})),
    (POLICY, put("spec.approvals", {"expireAfter": "1 day"})),
    (POLICY, put("spec.gates.0.expression", "")),
    (POLICY, lambda m: m["spec"]["gates"].append(m["spec"]["gates"][0])),
    (POLICY, put("spec.evidence", {"signed": "yes"})),
    (POLICY, put("spec.soak", {"alias": "staging"})),
    (POLICY, put("spec.freeze.0.weekly.from", "24:00")),
    (POLICY, put("spec.freeze.0.weekly.from", "25:00")),
    (POLICY, put("spec.freeze.0.weekly.days", ["Mon", "Mon"])),
    (POLICY, put("spec.freeze.0.weekly.days", ["Monday"])),
    (POLICY, put("spec.freeze.0.start", "2026-01-01T00:00:00Z")),
    (POLICY, put("spec.freeze", [{**TIMES, "end": "2025-01-01T00:00:00Z"}])),
    (POLICY, put("spec.freeze", [{**TIMES, "end": "2026-01-02"}])),
    (POLICY, put("spec.freeze", [{"name": "a"}])),
    (POLICY, put("spec.freeze", [{"name": None}])),
    (ALIAS, put("spec.version", None)),
]
ACCEPTED: list[tuple[Raw, Change]] = [
    (VERSION, put("spec.artifact.size", 0)),
    (VERSION, put("spec.artifact.size", 1.0)),
    (VERSION, put("spec.provenance", {"metrics": {"f1": {"last": 1}}, "parameters": {"a": [1], "b": None}})),
    (VERSION, put("metadata.generateName", "digits")),
    (VERSION, put("status", {"phase": "Ready"})),
    (ALIAS, put("spec.reason", "")),
    (ALIAS, put("metadata.labels", {"a": ""})),
    (POLICY, put("spec", {})),
    (POLICY, put("spec.freeze", [TIMES])),
    (POLICY, put("spec.approvals", {"required": 0, "expireAfter": "1d12h"})),
    (POLICY, put("spec.match", None)),
    (POLICY, put("spec.gates", None)),
    (POLICY, put("spec.mode", None)),
    (POLICY, put("spec.approvals", {"required": None, "expireAfter": None})),
    (ALIAS, put("spec.reason", None)),
    (POLICY, put("metadata", {"generateName": "policy-"})),
]


def verdict_of_the_server(cluster: Cluster, namespace: str, manifest: Raw) -> str:
    try:
        cluster.kubectl(
            "-n", namespace, "create", "--dry-run=server", "--validate=strict", "-f-", stdin=json.dumps(manifest)
        )
    except ClusterError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("cases", "refused"), [(REFUSED, True), (ACCEPTED, False)], ids=["refused", "accepted"])
def test_the_result_agrees_with_the_api_server(
    governed: Cluster, namespace: str, cases: list[tuple[Raw, Change]], *, refused: bool
) -> None:
    for manifest, change in cases:
        wanted = changed(manifest, change)
        if manifest is VERSION:
            uri = wanted["spec"]["artifact"].get("uri", "")
            wanted["spec"]["artifact"] |= {"uri": uri.replace("/runs/x/", f"/runs/{namespace}/")} if uri else {}
        theirs = verdict_of_the_server(governed, namespace, wanted)
        ours = [str(each) for each in check("f", json.dumps(wanted)).complaints]
        assert (bool(theirs), bool(ours)) == (refused, refused), (wanted, theirs, ours)


def test_errors_have_the_format_of_compilers(tmp_path: Path) -> None:
    manifest = changed(POLICY, put("spec.mode", "Enforced"))
    manifest["spec"] |= {"gate": [], "approvals": {"required": 60}}
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(manifest, indent=2))
    answer = run("validate", "policy.yaml", "-", environment={}, cwd=tmp_path, stdin=json.dumps(ALIAS))
    golden.check("validate", answer.out)
    assert (answer.code, answer.err) == (6, "error: 3 errors in the manifests\n")
    found = json.loads(run("validate", str(file), "-o", "json", environment={}).out)
    assert (found["valid"], found["objects"], len(found["items"])) == (False, 1, 3)
    first = found["items"][0]
    assert (first["file"], first["kind"], first["name"]) == (str(file), "PromotionPolicy", "champion")
    assert f"{first['line']}:{first['column']}: " in answer.out


def test_valid_objects_are_counted_and_others_are_listed(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        "---\n".join(json.dumps(each) + "\n" for each in (ALIAS, POLICY, registry.deployment("server")))
    )
    answer = run("validate", "all.yaml", environment={}, cwd=tmp_path)
    assert (answer.code, answer.out) == (0, "2 objects valid\n")
    assert answer.err == "not checked: all.yaml: Deployment of apps/v1\n"


def test_an_unreadable_file_gives_exit_code_2(tmp_path: Path) -> None:
    answer = run("validate", str(tmp_path / "none.yaml"), environment={})
    assert (answer.code, "No such file or directory" in answer.err) == (2, True)
