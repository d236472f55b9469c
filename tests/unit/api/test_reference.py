"""docs/api.md names every field, default, reason, condition and refusal of Experiment and Run, and no other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.api import crd, names
from assay.planning import job, search
from assay.planning.job import InvalidTemplate, JobSettings
from assay.planning.search import InvalidSearch
from tests.unit.planning.objects import experiment_spec, job_spec, run

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/api.md").read_text()
KINDS = {"Experiment": crd.EXPERIMENT, "Run": crd.RUN}
Schema = dict[str, Any]


def section(title: str) -> str:
    """Return the text below a heading, up to the next heading."""
    found = re.search(rf"(?ms)^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", TEXT)
    assert found, f"docs/api.md has no section {title!r}"
    return found.group(1)


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def schema(kind: str) -> Schema:
    found: Schema = KINDS[kind].crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield (path, schema, whether it is required) of every field below a node."""
    for key, value in node.get("properties", {}).items():
        here = f"{path}.{key}"
        yield here, value, key in node.get("required", [])
        yield from fields(value, here)
        yield from fields(value.get("items", {}), f"{here}[]")
        yield from fields(value.get("additionalProperties", {}), f"{here}.*")


def own_fields(kind: str, part: str) -> dict[str, tuple[Schema, bool]]:
    """Return the fields that a table of the reference is about: what two kinds share is described once."""
    shared = {path for path, _, _ in fields(schema("Run")["properties"]["spec"], "spec")}
    return {
        path: (node, required)
        for path, node, required in fields(schema(kind)["properties"][part], part)
        if not path.startswith("status.conditions[]")
        and not (path.startswith("spec.template.") and path.replace("spec.template.", "spec.", 1) in shared)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_named_once_and_no_other(kind: str, part: str) -> None:
    found = [name for row in rows(f"{kind} {part}") for name in named(row[0])]
    assert sorted(found) == sorted(own_fields(kind, part))


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_is_told(kind: str) -> None:
    expected = {
        path: "required" if required else f"`{json.dumps(node['default'])}`" if "default" in node else ""
        for path, (node, required) in own_fields(kind, "spec").items()
    }
    assert {named(row[0])[0]: row[1] for row in rows(f"{kind} spec")} == expected


def used_names() -> set[str]:
    """Return the constants of assay.api.names by which Runs and Experiments speak."""
    folder = ROOT / "operator/assay"
    modules = [
        *(folder / "planning" / f"{name}.py" for name in ("facts", "outcome", "phases", "sweep")),
        *(folder / "controllers" / f"{name}.py" for name in ("runs", "experiments", "recording")),
    ]
    found = {name for module in modules for name in re.findall(r"\bnames\.([A-Z_]+)\b", module.read_text())}
    not_reasons = {"EXPERIMENT", "RUN", "API_VERSION", "GROUP", "VERSION", "FIELD_MANAGER"}
    return {name for name in found if not name.startswith(("LABEL_", "ANNOTATION_"))} - not_reasons


CONDITIONS = {"COMPLETE", "FAILED", "SUSPENDED", "STARTED", "RECORDED"}


def test_every_condition_is_named_and_no_other() -> None:
    assert {named(row[0])[0] for row in rows("Conditions")} == {getattr(names, name) for name in CONDITIONS}


def test_every_reason_is_named_and_no_other() -> None:
    found = [named(row[0])[0] for row in rows("Reasons")]
    assert sorted(found) == sorted(getattr(names, name) for name in used_names() - CONDITIONS)


def test_every_phase_is_named_and_no_other() -> None:
    phases = schema("Run")["properties"]["status"]["properties"]["phase"]["enum"]
    assert [named(row[0])[0] for row in rows("Phases")] == phases
    assert schema("Experiment")["properties"]["status"]["properties"]["phase"]["enum"] == phases


def rules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", []))
        for value in node.values():
            yield from rules(value)


def refusals() -> list[str]:
    return [line[2:] for line in section("Refusals").splitlines() if line.startswith("- ")]


def test_every_message_of_the_api_server_is_quoted() -> None:
    messages = {message for kind in KINDS for message in rules(schema(kind))}
    assert messages <= set(refusals()), sorted(messages - set(refusals()))
    others = set(refusals()) - messages
    assert sorted(others - set(OPERATOR)) == [
        "a Job named sweep-0 exists and is not this run's: delete it, or choose another name",
        "must validate one and only one schema (oneOf): a parameter has either `values`, or `min` and `max`",
    ]


def _searched(**spec: Any) -> str:
    from assay.api.experiment import ExperimentSpec

    with pytest.raises(InvalidSearch) as caught:
        search.size(ExperimentSpec.model_validate(experiment_spec(**spec)))
    return str(caught.value)


def _built(*containers: Any, **pod: Any) -> str:
    body = run(job=job_spec(**pod))
    body["spec"]["job"]["template"]["spec"]["containers"] += containers
    with pytest.raises(InvalidTemplate) as caught:
        job.build_job(body, "prefix", JobSettings(image="x"))
    return str(caught.value)


def _mounting(volume: str, path: str) -> str:
    body = run()
    mounts = [{"name": volume, "mountPath": path}]
    body["spec"]["job"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
    with pytest.raises(InvalidTemplate) as caught:
        job.build_job(body, "prefix", JobSettings(image="x"))
    return str(caught.value)


OPERATOR = [
    _searched(parameters=[{"name": "a", "values": [*range(1000)]}, {"name": "b", "values": [*range(101)]}]),
    _searched(search={"strategy": "list", "list": [{}, {"a-b": 1}]}),
    _searched(parameters=[{"name": "lr", "values": [1, []]}]),
    _built(volumes=[{"name": "assay-store"}]),
    _built({"name": "assay-recorder"}),
    _mounting("mine", "/assay"),
    _mounting("assay-store", "/mine"),
    _built({}),
    _built(volumes={}),
]


@pytest.mark.parametrize("message", OPERATOR)
def test_the_messages_of_the_operator_are_its_own(message: str) -> None:
    assert message in refusals()


def test_every_link_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
