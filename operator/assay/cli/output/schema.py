"""The JSON Schema of the commands' JSON output: `python -m assay.cli.output.schema docs/cli.schema.json`.

`--check` compares the file with the code and writes nothing.

    $defs.<Type>               one type, as assay.cli.output.answers and the modules of the commands declare it
    x-assay-answers.<command>  the names of the types that the command prints

Later versions may add keys, so the schema forbids none. Keys listed as required are always present.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from assay.api.objects import Raw
from assay.cli.output.answers import ANSWERS


class _Generator(GenerateJsonSchema):
    """Generates no titles: pydantic would repeat the name of every field as one."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def document() -> Raw:
    """Return the schema of all commands' JSON output. Raises TypeError if two types have the same name."""
    kinds = {kind: TypeAdapter[Any](kind) for answers in ANSWERS.values() for kind in answers}
    _, found = TypeAdapter.json_schemas(
        [(kind.__name__, "serialization", adapter) for kind, adapter in kinds.items()], schema_generator=_Generator
    )
    definitions = found["$defs"]
    names = {command: [kind.__name__ for kind in answers] for command, answers in ANSWERS.items()}
    if unknown := {name for each in names.values() for name in each} - set(definitions):
        raise TypeError(f"two types are called {', '.join(sorted(unknown))}")
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "What assay prints with -o json",
        "x-assay-answers": names,
        "$defs": {name: _plain(definition) for name, definition in sorted(definitions.items())},
    }


def _plain(definition: Raw) -> Raw:
    """Return a definition without its title, with its docstring as one line of plain text."""
    about = " ".join(definition.get("description", "").split()).replace("``", "`")
    return {key: value for key, value in definition.items() if key != "title"} | (
        {"description": about} if about else {}
    )


def main() -> int:
    """Write the schema, or check that the file is up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m assay.cli.output.schema", description="The JSON Schema of what assay prints."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file is out of date")
    request = parser.parse_args()
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if not request.check:
        request.file.write_text(text, encoding="utf-8")
        return 0
    if request.file.exists() and request.file.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{request.file} is out of date: run python -m assay.cli.output.schema {request.file}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
