"""Objects that are nested as deeply as the API server allows stop nobody else's work: anyone can create one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import operators, registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
#: The API server refuses 10,000. Python's parser, its C code and pydantic give up at some number in between.
LEVELS = (300, 950, 9_900)


def test_a_deeply_nested_object_stops_no_other(control_plane: LocalCluster, namespace: str, tmp_path: Path) -> None:
    operators.install(control_plane)
    objects, log = Objects(control_plane, namespace), tmp_path / "operator.log"
    with operators.OperatorProcess(control_plane, log, {"ASSAY_NAMESPACES": namespace}) as operator:
        for levels in LEVELS:
            _create(objects, _experiment(f"lists-{levels}"), "[" * levels + "]" * levels)
            _create(objects, _experiment(f"objects-{levels}"), '{"a":' * levels + "1" + "}" * levels)
            _create(objects, registry.run(f"run-{levels}", parameters={"lr": "HERE"}), "[" * levels + "]" * levels)
            version = registry.model_version("digits", levels, namespace=namespace, owner="dora")
            version["spec"]["provenance"] = {"parameters": {"lr": "HERE"}}
            _create(objects, version, '{"a":' * levels + "1" + "}" * levels)
        _is_served(objects, "after-them")
        operator.kill()
        operator.start().wait_ready()
        _is_served(objects, "after-a-restart")
        for levels in LEVELS:
            for kind, name in (("experiment", "lists"), ("experiment", "objects"), ("run", "run")):
                _has_phase(objects, kind, f"{name}-{levels}")
            _has_phase(objects, "modelversion", f"digits.v{levels}")
    assert "Recursion" not in log.read_text()


def _experiment(name: str) -> Raw:
    manifest = registry.experiment(name, suspend=True)
    manifest["spec"]["template"]["job"]["extra"] = "HERE"
    return manifest


def _create(objects: Objects, manifest: Raw, nested: str) -> None:
    plural = manifest["kind"].lower() + "s"
    path = f"/apis/assay.dev/v1alpha1/namespaces/{objects.namespace}/{plural}"
    text = json.dumps(manifest).replace('"HERE"', nested)
    objects.cluster.kubectl("create", "--raw", path, "-f", "-", *registry.AS_OPERATOR, stdin=text)


def _is_served(objects: Objects, name: str) -> None:
    objects.apply(registry.experiment(name, suspend=True))
    _has_phase(objects, "experiment", name)


def _has_phase(objects: Objects, kind: str, name: str) -> None:
    """Wait until the operator has written the object's status. The tests' own client would not survive to read it."""
    asked = ("get", kind, name, "--output=jsonpath={.status.phase}")
    wait_for(f"a phase of {kind} {name}", lambda: objects.kubectl(*asked), seconds=60)
