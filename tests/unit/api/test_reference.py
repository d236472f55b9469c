"""docs/api.md and docs/registry.md name every field, default, reason, condition and refusal, and no other."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import crd, names
from assay.api.experiment import Register
from assay.api.run import Objective
from assay.api.schema import structural
from assay.planning.models import registration
from assay.planning.runs import job, template
from assay.planning.runs.checks import InvalidTemplate
from assay.planning.runs.job import JobSettings
from assay.planning.search import space
from assay.planning.search.space import InvalidSearch
from tests.unit.planning.objects import experiment_spec, job_spec, run

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "operator/assay"
Schema = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """One page of the reference: its kinds, the modules that speak of them, and the conditions that they have."""

    path: str
    kinds: tuple[crd.Kind, ...]
    modules: tuple[str, ...]
    conditions: frozenset[str]

    @property
    def text(self) -> str:
        return (ROOT / self.path).read_text()

    def section(self, title: str) -> str:
        """Return the text below a heading, up to the next heading."""
        found = re.search(rf"(?ms)^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", self.text)
        assert found, f"{self.path} has no section {title!r}"
        return found.group(1)

    def rows(self, title: str) -> list[list[str]]:
        lines = [line for line in self.section(title).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]

    def items(self, title: str) -> list[str]:
        return [line[2:] for line in self.section(title).splitlines() if line.startswith("- ")]

    def messages(self) -> set[str]:
        """Return what the API server says when it refuses an object of these kinds."""
        return {message for kind in self.kinds for message in rules(schema(kind))}


API = Page(
    "docs/api.md",
    (crd.EXPERIMENT, crd.RUN),
    (
        *(f"planning/runs/{name}.py" for name in ("facts", "logged", "outcome", "phases", "refusals")),
        *(f"planning/runs/{name}.py" for name in ("recipe", "reproduction", "datasets")),
        *("planning/search/sweep.py", "planning/models/registration.py", "controllers/registry/enrolment.py"),
        *(f"controllers/tracking/{name}.py" for name in ("runs", "jobs", "datasets")),
        *(f"controllers/tracking/{name}.py" for name in ("experiments", "records", "provenance")),
    ),
    frozenset(
        {
            *("COMPLETE", "FAILED", "SUSPENDED", "STARTED", "RECORDED", "REGISTERED"),
            *("OBJECTIVE_RECORDED", "PARAMETERS_MATCH"),
            *("REPRODUCIBLE", "REPRODUCED", "SIGNED"),
        }
    ),
)
REGISTRY = Page(
    "docs/registry.md",
    (crd.MODEL_VERSION, crd.MODEL_ALIAS, crd.PROMOTION_POLICY),
    (
        *("planning/models/versions.py", "planning/promotion/binding.py"),
        *(f"controllers/registry/{name}.py" for name in ("versions", "registering", "signatures")),
        *("controllers/registry/aliases.py", "controllers/registry/policies.py"),
    ),
    frozenset(
        {
            *("READY", "ARTIFACT_VERIFIED", "PROVENANCE_VERIFIED", "REPRODUCIBLE", "SIGNED", "ARCHIVED"),
            *("BOUND", "HELD", "DEGRADED"),
        }
    ),
)
PAGES = [API, REGISTRY]
KINDS = [(page, kind) for page in PAGES for kind in page.kinds]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
kinds = pytest.mark.parametrize(("page", "kind"), KINDS, ids=[kind.kind for _, kind in KINDS])


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def schema(kind: crd.Kind) -> Schema:
    found: Schema = kind.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield (path, schema, whether it is required) of every field below a node."""
    for key, value in node.get("properties", {}).items():
        here = f"{path}.{key}"
        yield here, value, key in node.get("required", [])
        yield from fields(value, here)
        yield from fields(value.get("items", {}), f"{here}[]")
        yield from fields(value.get("additionalProperties", {}), f"{here}.*")


#: What has the fields of something that is described elsewhere: the prefix of the one, and of the other.
SAME = {
    "Experiment": ("spec.template.", "spec.", crd.RUN),
    "ModelVersion": ("status.provenance.", "spec.provenance.", crd.MODEL_VERSION),
}


def own_fields(kind: crd.Kind, part: str) -> dict[str, tuple[Schema, bool]]:
    """Return the fields that a table of the reference is about: what is there twice is described once."""
    prefix, other, of = SAME.get(kind.kind, ("none", "", crd.RUN))
    shared = {path for path, _, _ in fields(schema(of)["properties"]["spec"], "spec")}
    return {
        path: (node, required)
        for path, node, required in fields(schema(kind)["properties"][part], part)
        if not path.startswith("status.conditions[]")
        and not (path.startswith(prefix) and path.replace(prefix, other, 1) in shared)
    }


@kinds
@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_named_once_and_no_other(page: Page, kind: crd.Kind, part: str) -> None:
    found = [name for row in page.rows(f"{kind.kind} {part}") for name in named(row[0])]
    assert sorted(found) == sorted(own_fields(kind, part))


@kinds
def test_every_default_is_documented(page: Page, kind: crd.Kind) -> None:
    defaults = {path: node["default"] for path, node, _ in fields(structural(kind.spec), "spec") if "default" in node}
    expected = {
        path: "required" if required else f"`{json.dumps(defaults[path])}`" if path in defaults else ""
        for path, (_, required) in own_fields(kind, "spec").items()
    }
    assert {named(row[0])[0]: row[1] for row in page.rows(f"{kind.kind} spec")} == expected


def reasons(of: str = "") -> set[str]:
    """Return the constants of assay.api.names below a comment "Reasons for …": all, or those of one kind."""
    found, wanted = set(), False
    for line in (PACKAGE / "api/names.py").read_text().splitlines():
        if line.startswith("# "):
            wanted = line.startswith(f"# Reasons for {of}")
        elif wanted and (constant := re.match(r"([A-Z_]+): Final", line)):
            found.add(constant[1])
    return found


def used_reasons(page: Page) -> set[str]:
    """Return the reasons by which the kinds of a page speak."""
    text = "".join((PACKAGE / module).read_text() for module in page.modules)
    return set(re.findall(r"\bnames\.([A-Z_]+)\b", text)) & reasons()


def test_reasons_are_found_in_their_sections() -> None:
    assert {"TRAINING", "COPYING", "NOTHING_BOUND", "COMPILED"} <= reasons()
    assert reasons("a policy") == {"COMPILED", "CANNOT_BE_READ"}
    assert not reasons() & {"COMPLETE", "GROUP", "LABEL_RUN"}


@pages
def test_every_condition_is_named_and_no_other(page: Page) -> None:
    found = [named(row[0])[0] for row in page.rows("Conditions")]
    assert sorted(found) == sorted(getattr(names, name) for name in page.conditions)


def test_every_reason_of_an_experiment_and_a_run_is_named_and_no_other() -> None:
    # The condition of that name has it as its reason, too.
    used = [getattr(names, name) for name in used_reasons(API)] + [names.REGISTERED]
    expected = [each for each in used if isinstance(each, str)]  # not a set of reasons, which are used elsewhere
    assert sorted(named(row[0])[0] for row in API.rows("Reasons")) == sorted(expected)


def test_every_reason_of_the_registry_is_named_and_no_other() -> None:
    own = reasons("a version") | reasons("an alias") | reasons("a policy")
    expected = [getattr(names, name) for name in used_reasons(REGISTRY) | own]
    assert sorted(named(row[0])[0] for row in REGISTRY.rows("Reasons")) == sorted(expected)


def phases(kind: crd.Kind) -> list[str]:
    found: list[str] = schema(kind)["properties"]["status"]["properties"].get("phase", {}).get("enum", [])
    return found


def test_every_phase_of_an_experiment_and_a_run_is_named_and_no_other() -> None:
    assert [named(row[0])[0] for row in API.rows("Phases")] == phases(crd.RUN) == phases(crd.EXPERIMENT)


def test_every_phase_of_the_registry_is_named_and_no_other() -> None:
    expected = [(phase, kind.kind) for kind in REGISTRY.kinds for phase in phases(kind)]
    assert [(named(row[0])[0], row[1]) for row in REGISTRY.rows("Phases")] == expected


def rules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", []))
        for value in node.values():
            yield from rules(value)


def test_every_message_of_the_api_server_is_quoted() -> None:
    assert sorted(REGISTRY.items("Refusals")) == sorted(REGISTRY.messages())
    assert API.messages() <= set(API.items("Refusals")), sorted(API.messages() - set(API.items("Refusals")))
    others = set(API.items("Refusals")) - API.messages()
    assert sorted(others - set(OPERATOR)) == [
        "a Job named sweep-0 exists and does not belong to this run: delete it, or choose another name",
        "must validate one and only one schema (oneOf): a parameter has either `values`, or `min` and `max`",
    ]


def _searched(**spec: Any) -> str:
    from assay.api.experiment import ExperimentSpec

    with pytest.raises(InvalidSearch) as caught:
        space.size(ExperimentSpec.model_validate(experiment_spec(**spec)))
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


def _mistaken(**fields: Any) -> str:
    pod = job_spec()["template"]["spec"]
    pod = pod | {"restartPolicy": fields.pop("restartPolicy", "Never")}
    pod["containers"] = [{"name": "train", "image": "a", **fields}]
    return template.first({"template": {"spec": pod}}, with_data=False)


OPERATOR = [
    _mistaken(restartPolicy=None),
    _mistaken(command="true"),
    _mistaken(resources={"limits": {"memory": "4GB"}}),
    _mistaken(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}}),
    _mistaken(volumeMounts=[{"name": "cache", "mountPath": "/cache"}]),
    _searched(parameters=[{"name": "a", "values": [*range(1000)]}, {"name": "b", "values": [*range(101)]}]),
    _searched(search={"strategy": "list", "list": [{}, {"a b": 1}]}),
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
    assert message in API.items("Refusals")


def _succeeded(index: int, score: float | None) -> Any:
    body = run(f"sweep-{index}", objective=OBJECTIVE.to_dict())
    summary = {"score": {"last": score, "best": score}} if score is not None else {}
    model = {"path": "m", "digest": "sha256:" + "a" * 64, "size": 1}
    body["metadata"]["labels"]["assay.dev/index"] = str(index)
    body["status"] = {"phase": "Succeeded", "record": {"complete": True}, "model": model, "metrics": summary}
    return body


OBJECTIVE = Objective.model_validate({"metric": "score", "direction": "maximize"})
WANTED = Register(model="digits", when="run.metrics.score.last >= 0.9")
EVERY = Register(model="digits", when="run.metrics.score.last >= 0.6", pick="every")
NONE = [_succeeded(0, 0.5), _succeeded(1, 0.6), _succeeded(2, None)]


def test_the_messages_of_a_registration_are_its_own() -> None:
    said = [
        registration.condition(Register(model="digits", when="oops"), over=False),
        registration.condition(WANTED, over=True, none=registration.why_none(WANTED, OBJECTIVE, NONE)),
        registration.condition(
            WANTED, over=True, none=registration.why_none(Register(model="digits"), OBJECTIVE, [_succeeded(0, None)])
        ),
        registration.condition(WANTED, over=True, none=registration.why_none(WANTED, OBJECTIVE, [])),
        registration.condition(EVERY, over=True, none=registration.why_none(EVERY, OBJECTIVE, NONE)),
        registration.condition(WANTED, over=True, refused=("sweep-1", "exceeded quota: versions")),
        registration.condition(WANTED, over=True, registered=("digits.v3", "sweep-1")),
        registration.condition(WANTED, over=False),
    ]
    assert API.items("Registration") == [message for _, _, message in said]


def test_the_fields_available_to_when_are_documented() -> None:
    values = registration.run_values(_succeeded(0, 0.5))
    found = {name.split(".")[1] for row in API.rows("Registration") for name in named(row[0]) if name.startswith("run")}
    assert found == values.keys()
    for inner in ("model", "source"):
        told = {name for row in API.rows("Registration") for name in named(row[0]) if name.startswith(f"run.{inner}.")}
        assert told == {f"run.{inner}.{key}" for key in values[inner]}


@pytest.mark.parametrize("kind", REGISTRY.kinds[:2], ids=lambda kind: kind.kind)
def test_the_manifests_of_the_page_can_be_read(kind: crd.Kind) -> None:
    manifests = [yaml.safe_load(text) for text in re.findall(r"(?s)```yaml\n(.*?)```", REGISTRY.section(kind.kind))]
    assert [manifest["kind"] for manifest in manifests] == [kind.kind]
    kind.spec.model_validate(manifests[0]["spec"])
