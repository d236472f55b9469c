"""docs/concepts.md tells of fields, states and policies that there are."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from assay.api import modelalias, modelversion, names, run_status
from assay.api.crd import KINDS

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs/concepts.md").read_text()


def schemas() -> dict[str, Raw]:
    """Return the schema of each kind by the names that kubectl knows it by."""
    found = {}
    for kind in KINDS:
        crd = kind.crd()
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        spoken = crd["spec"]["names"]
        found |= dict.fromkeys((spoken["singular"], spoken["plural"], *spoken.get("shortNames", [])), schema)
    return found


def has(schema: Raw, path: list[str]) -> bool:
    """Whether there is such a field; an index or a wildcard stands for the items of a list."""
    for step in path:
        schema = schema.get("items", schema)
        if step not in schema.get("properties", {}):
            return False
        schema = schema["properties"][step]
    return True


def test_every_queried_field_exists() -> None:
    known, asked = schemas(), 0
    for kind, template in re.findall(r"^kubectl get (\w+) \S+ -o jsonpath='(.*)'$", DOCS, re.MULTILINE):
        above: list[str] = []
        for word, path in re.findall(r"\{(range )?((?:\.\w+(?:\[\*])?)+)\}", template):
            steps = re.findall(r"\.(\w+)", path)
            assert has(known[kind], [*above, *steps]), f"{kind}: {'.'.join([*above, *steps])}"
            above = steps if word else above
            asked += 1
    assert asked == len(re.findall(r"\{(?:range )?\.", DOCS)), "a field that nobody has looked at"


@pytest.mark.parametrize(
    ("title", "phases"),
    [
        ("run", get_args(run_status.Phase)),
        ("version", get_args(get_args(modelversion.ModelVersionStatus.model_fields["phase"].annotation)[0])),
        ("alias", get_args(modelalias.Phase)),
    ],
)
def test_every_phase_is_in_its_lifecycle_diagram(title: str, phases: tuple[str, ...]) -> None:
    picture = DOCS.split(f"## The life of a{'n' if title == 'alias' else ''} {title}\n\n```\n")[1].split("```")[0]
    assert len(phases) >= 4
    assert {phase for phase in phases if re.search(rf"\b{phase}\b", picture)} == set(phases)


def test_every_policy_that_is_named_exists() -> None:
    named = set(re.findall(r"`(assay-\w+)`", DOCS))
    assert len(named) >= 4
    assert named <= names.ADMISSION_POLICIES
