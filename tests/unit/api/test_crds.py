"""The CRDs that are checked in, and what every schema of them must have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import __main__ as command
from assay.api import crd
from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.run import RunSpec
from assay.api.run_status import RunStatus
from tests.unit.planning.objects import experiment_spec, run

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
Schema = dict[str, Any]


def nodes(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for key, value in node.get("properties", {}).items():
        yield from nodes(value, f"{path}.{key}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}.*")


def all_nodes() -> list[tuple[str, Schema]]:
    versions = [(kind.kind, kind.crd()["spec"]["versions"][0]) for kind in crd.KINDS]
    return [found for name, v in versions for found in nodes(v["schema"]["openAPIV3Schema"], name)]


def test_checked_in_crds_match_the_models() -> None:
    assert command.stale(ROOT / "crds") == []


def test_stale_files_are_named(tmp_path: Path) -> None:
    for name, text in command.render().items():
        (tmp_path / name).write_text(text)
    assert command.stale(tmp_path) == []
    (tmp_path / "runs.yaml").write_text("changed")
    (tmp_path / "experiments.yaml").unlink()
    (tmp_path / "others.yaml").write_text("")
    assert command.stale(tmp_path) == ["experiments.yaml", "others.yaml", "runs.yaml"]


def test_the_files_are_written_the_same_every_time() -> None:
    assert command.render() == command.render()
    for text in command.render().values():
        assert text.startswith("# Generated from ")
        assert yaml.safe_load(text)["kind"] == "CustomResourceDefinition"


def test_no_field_of_a_spec_has_a_default_that_the_api_server_stores() -> None:
    """It would belong to no field manager: Argo CD's server-side diff takes its live value, and a policy stays open."""
    assert [path for path, node in all_nodes() if ".spec" in path and "default" in node] == []


def test_every_node_has_a_description() -> None:
    silent = [path for path, node in all_nodes() if not node.get("description")]
    # The API server describes metadata, and refuses a CRD that does.
    assert [path for path in silent if not path.split(".", 1)[1].startswith("metadata")] == []


def test_every_description_is_a_sentence() -> None:
    odd = [path for path, node in all_nodes() if not node.get("description", "X.")[0].isupper()]
    openings = ("sha256", "grid:", "min", "max")
    texts = dict(all_nodes())
    assert [path for path in odd if not texts[path]["description"].startswith(openings)] == []


def test_all_schema_fields_are_bounded() -> None:
    """Otherwise the API server refuses CEL rules over it, and one object could fill etcd."""
    unbounded = []
    for path, node in all_nodes():
        kind = node.get("type")
        if kind == "string" and not {"maxLength", "enum"} & node.keys() and node.get("format") != "date-time":
            unbounded.append(path)
        if kind == "array" and "maxItems" not in node:
            unbounded.append(path)
        if kind == "object" and "additionalProperties" in node and "maxProperties" not in node:
            unbounded.append(path)
    assert [path for path in unbounded if not path.endswith((".apiVersion", ".kind"))] == []


def test_every_node_is_structural() -> None:
    forbidden = {"$ref", "anyOf", "title", "const", "exclusiveMin", "definitions", "uniqueItems"}
    for path, node in all_nodes():
        assert not forbidden & node.keys(), path
        assert "type" in node or node.get("x-kubernetes-preserve-unknown-fields"), path
        assert set(node.get("required", [])) <= node.get("properties", {}).keys(), path


def test_every_kind_has_its_names() -> None:
    specs = [kind.crd()["spec"] for kind in crd.KINDS]
    assert all(spec["scope"] == "Namespaced" and spec["names"]["categories"] == ["assay"] for spec in specs)
    shorts = [spec["names"]["shortNames"][0] for spec in specs]
    assert shorts[:2] == ["exp", "run"]
    assert len(set(shorts)) == len(shorts)
    assert all(spec["versions"][0]["subresources"] == {"status": {}} for spec in specs)


_METADATA = {".metadata.creationTimestamp", ".metadata.resourceVersion"}


def test_columns_show_fields_that_exist() -> None:
    for kind in crd.KINDS:
        known = {path.removeprefix(kind.kind) for path, _ in all_nodes() if path.startswith(kind.kind + ".")}
        for column in kind.crd()["spec"]["versions"][0]["additionalPrinterColumns"]:
            path = column["jsonPath"].split("[", 1)[0]
            assert path in known | _METADATA, f"{kind.kind}: {column}"
            assert column["description"]


def test_models_round_trip() -> None:
    spec = experiment_spec(
        parameters=[{"name": "a", "values": [1, 2.0, "x", True]}],
        search={"strategy": "grid", "seed": 3},
        maxFailedRuns=0,
    )
    found = ExperimentSpec.model_validate(spec).to_dict()
    assert {key: found[key] for key in spec if key not in ("template", "parameters")} == {
        key: value for key, value in spec.items() if key not in ("template", "parameters")
    }
    assert repr(found["parameters"][0]["values"]) == "[1, 2.0, 'x', True]"
    assert found["template"]["job"] == spec["template"]["job"]
    assert RunSpec.model_validate(run()["spec"]).to_dict()["job"] == run()["spec"]["job"]


def test_a_status_of_a_newer_operator_can_be_read() -> None:
    assert RunStatus.model_validate({"phase": "Running", "invented": 1}).to_dict()["phase"] == "Running"
    assert ExperimentStatus.model_validate({}).to_dict() == {"conditions": []}
