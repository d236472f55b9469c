"""docs/cli.schema.json is up to date, valid, and covers every command that prints JSON."""

import json
import re
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from assay.cli.app import all_commands
from assay.cli.output import schema
from assay.cli.output.answers import ANSWERS
from tests.cli import answering

pytestmark = pytest.mark.unit


def test_the_file_is_up_to_date(tmp_path: Path) -> None:
    assert json.loads(answering.SCHEMA.read_text()) == schema.document()
    changed = tmp_path / "schema.json"
    changed.write_text(re.sub("boolean", "string", answering.SCHEMA.read_text(), count=1))
    for file, code in ((answering.SCHEMA, 0), (changed, 1)):
        command = [sys.executable, "-m", "assay.cli.output.schema", str(file), "--check"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


def test_it_is_valid_json_schema_without_dangling_references() -> None:
    found = schema.document()
    Draft202012Validator.check_schema(found)
    names = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(found)))
    assert names | {name for answers in found["x-assay-answers"].values() for name in answers} == set(found["$defs"])


def test_exactly_the_commands_that_print_json_have_an_answer() -> None:
    assert {name for name, command in all_commands().items() if _prints_json(command)} == set(ANSWERS)


def _prints_json(command: Any) -> bool:
    usual = [each.default for each in command.params if "--output" in each.opts]
    return any(isinstance(each, StrEnum) and "json" in list(type(each)) for each in usual)


@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (("models", "-o", "json"), {"items": [{"model": "digits"}]}),
        (("models", "-o", "json"), {"items": [], "more": 1}),
        (("diff", "a", "b", "-o", "json"), {"a": "a", "b": "b", "same": "no", "items": []}),
        (("logs", "a", "-o", "json"), {}),
    ],
)
def test_an_answer_that_violates_the_schema_is_detected(argv: tuple[str, ...], printed: Any) -> None:
    with pytest.raises(AssertionError):
        answering.check(argv, json.dumps(printed))
