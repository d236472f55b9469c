"""Validates every JSON answer in a test against docs/cli.schema.json, without additional keys."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[2] / "docs/cli.schema.json"
#: Checking only the beginning of long lists: all of it takes minutes.
_LONGEST = 50


def check(argv: Sequence[str], printed: str) -> None:
    """Fail if the JSON output of a command violates its schema; other output is ignored."""
    if not printed.strip() or _format(argv) != "json":
        return
    answers = _schema()["x-assay-answers"]
    command = next((each for each in (" ".join(argv[:2]), argv[0]) if each in answers), None)
    assert command, f"docs/cli.schema.json has no answer of `assay {' '.join(argv)}`"
    found = _shortened(json.loads(printed))
    troubles = [_troubles(name, found) for name in answers[command]]
    assert not all(troubles), f"`assay {' '.join(argv)}` is not as docs/cli.schema.json says: {troubles}"


def _format(argv: Sequence[str]) -> str:
    for option, value in pairwise(argv):
        if option in ("-o", "--output"):
            return value
    return ""


def _troubles(name: str, found: Any) -> list[str]:
    errors = Draft202012Validator({**_schema(), "$ref": f"#/$defs/{name}"}).iter_errors(found)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@cache
def _schema() -> Any:
    schema = json.loads(SCHEMA.read_text())
    for definition in schema["$defs"].values():
        definition["additionalProperties"] = False
    return schema


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    return [_shortened(each) for each in value[:_LONGEST]] if isinstance(value, list) else value
