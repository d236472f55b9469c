"""Every message that docs/troubleshooting.md quotes is one that the source can say; the guides name what exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GUIDES = [DOCS / name for name in ("install.md", "operations.md", "troubleshooting.md", "personas.md")]
#: What an f-string fills in, and what the docs leave out.
HOLE, GAP = "\0", "…"


def messages() -> list[str]:
    """What stands in the first column of the tables."""
    rows = re.findall(r"^\| (`.*?) \| ", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    return [found.replace("\\|", "|") for row in rows for found in re.findall(r"`([^`]+)`", row)]


@cache
def templates() -> list[str]:
    """Every text of the operator's source, with a hole where something is filled in; and the chart's files."""
    found = [text for path in (ROOT / "operator").rglob("*.py") for text in _texts(ast.parse(path.read_text()))]
    chart = [path for path in (ROOT / "charts/assay").rglob("*") if path.suffix in (".yaml", ".tpl")]
    return found + [_of_chart(path) for path in chart]


def _of_chart(path: Path) -> str:
    """Its text in one line, with the parts of what CEL puts together joined where nothing is filled in."""
    return " ".join(path.read_text().split()).replace("' + '", "").replace("\\'", "'")


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else HOLE for part in node.values]
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%(\.\d)?[sdf]", HOLE, node.value)


def is_said(message: str) -> bool:
    """Whether one text has all that is quoted, in its order."""
    pieces = [piece.strip() for piece in message.split(GAP) if piece.strip()]
    pattern = re.compile(".*?".join(map(re.escape, pieces)), re.DOTALL)
    return any(pattern.search(text) for text in templates())


@pytest.mark.parametrize("message", messages())
def test_every_quoted_message_exists_in_the_source(message: str) -> None:
    assert is_said(message)


def test_a_quoted_message_missing_from_the_source_is_detected() -> None:
    assert len(messages()) > 40
    assert not is_said("the alias … is not bound at all: the pods have no model")
    assert not is_said("the pods have no model: the alias … is not bound yet")


def values() -> set[str]:
    """The dotted names of the chart's values."""

    def below(found: object, name: str) -> Iterator[str]:
        yield name
        if isinstance(found, dict):
            for key, value in found.items():
                yield from below(value, f"{name}.{key}".lstrip("."))

    return set(below(yaml.safe_load((ROOT / "charts/assay/values.yaml").read_text()), ""))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_values_that_a_guide_names_exist(guide: Path) -> None:
    text = guide.read_text()
    named = set(re.findall(r"--set ([\w.]+)=", text))
    quoted = {each.split("=")[0].split(":")[0] for each in re.findall(r"`((?:\w+\.)*\w+[=:]? ?\w*)`", text)}
    roots = {name for name in values() if name and "." not in name}
    named |= {each for each in quoted if "." in each and each.split(".")[0] in roots}
    assert named <= values()
