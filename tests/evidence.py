"""The table of what the operator decides by, docs/evidence.yaml: read, printed, and compared with what the code reads.

python -m tests.evidence        print the table into docs/security.md
"""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from assay.api import names

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs/evidence.yaml"
SECURITY = ROOT / "docs/security.md"
BEGIN, END = "<!-- evidence: begin -->", "<!-- evidence: end -->"
#: Where raw objects are read and decided by.
CODE = ("operator/assay/planning", "operator/assay/controllers")

Raw = dict[str, Any]


@cache
def rows() -> tuple[Raw, ...]:
    """Return the rows of the table."""
    return tuple(yaml.safe_load(TABLE.read_text()))


def printed() -> str:
    """Return the table as docs/security.md has it."""
    lines = ["| kind | fields | decides | who may write them | what keeps others from it |", "|---|---|---|---|---|"]
    for row in rows():
        fields = ", ".join(f"`{field}`" for field in _shortened(row["fields"]))
        lines.append(f"| {row['kind']} | {fields} | {row['decides']} | {row['writers']} | {row['kept']} |")
    return "\n".join(lines)


def _shortened(fields: list[str]) -> list[str]:
    """Return the fields without those below another one of the list."""
    return [field for field in fields if not any(field.startswith(f"{other}.") for other in fields)]


def document() -> str:
    """Return the text of docs/security.md with the table in it."""
    before, _, rest = SECURITY.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{printed()}\n{END}{after}"


def keys_of_the_table() -> set[str]:
    """Return every key that a row names: the parts of its fields, and labels and annotations as a whole."""
    found: set[str] = set()
    for row in rows():
        for field in row["fields"]:
            head, _, key = field.partition("labels.") if "labels." in field else field.partition("annotations.")
            found |= {*head.rstrip(".").split("."), *([key] if key else [])}
            found |= {"labels"} if "labels." in field else {"annotations"} if "annotations." in field else set()
    return found


def keys_of_our_kinds() -> set[str]:
    """Return every property of the schemas of our kinds: rows name their spec and status as a whole."""
    found: set[str] = set()
    for path in (ROOT / "crds").glob("*.yaml"):
        _properties(yaml.safe_load(path.read_text())["spec"]["versions"], found)
    return found


def _properties(node: Any, found: set[str]) -> None:
    if isinstance(node, list):
        for each in node:
            _properties(each, found)
    elif isinstance(node, dict):
        for key, below in node.items():
            if key == "properties" and isinstance(below, dict):
                found.update(below)
            _properties(below, found)


def keys_read() -> dict[str, set[str]]:
    """Return every constant key that the code reads out of a mapping, with the modules that do.

    A key is what stands in brackets, what `get` is asked for, or what is looked for with `in`.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                key = _key(node)
                if key:
                    found[key].add(str(path.relative_to(ROOT / "operator/assay").with_suffix("")))
    return found


def _key(node: ast.AST) -> str:
    match node:
        case ast.Subscript(slice=key, ctx=ast.Load()):
            return _text(key)
        case ast.Call(func=ast.Attribute(attr="get"), args=[key, *_]):
            return _text(key)
        case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()]):
            return _text(key)
    return ""


def _text(node: ast.AST) -> str:
    """Return a constant string, or one of assay.api.names; "" for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Attribute(value=ast.Name(id="names"), attr=name):
            return str(getattr(names, name, ""))
    return ""


if __name__ == "__main__":
    SECURITY.write_text(document())
