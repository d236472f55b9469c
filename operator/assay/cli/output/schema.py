"""The JSON Schema of what commands answer: `python -m assay.cli.output.schema docs/cli.schema.json`.

`--check` only compares.

    $defs.<Type>            one type, as assay.cli.output.answers and the modules of the commands declare it
    x-assay-answers.<command>  the names of the types of its answers

An answer may get new keys, so none is forbidden here; those that are listed are there, unless they are not required.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from assay.api.objects import Raw
from assay.cli.output.answers import ANSWERS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def document() -> Raw:
    """Return the schema of every command's answers."""
    named = _Definitions()
    commands = {command: [named.add(answer) for answer in answers] for command, answers in ANSWERS.items()}
    return {
        "$schema": _DIALECT,
        "title": "What assay prints with -o json",
        "x-assay-answers": commands,
        "$defs": dict(sorted(named.schemas.items())),
    }


@dataclass
class _Definitions:
    """Types that have a name: each is defined once, and referred to."""

    kinds: dict[str, Any] = field(default_factory=dict)
    schemas: dict[str, Raw] = field(default_factory=dict)

    def add(self, kind: Any) -> str:
        """Define a type, unless it is defined already, and return its name. Raises TypeError for two of one name."""
        name = str(kind.__name__)
        if self.kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"two types are called {name}: {self.kinds[name]} and {kind}")
        if name not in self.schemas:
            self.schemas[name] = {}  # so that a type may refer to itself
            self.schemas[name] |= self._object(kind)
        return name

    def _object(self, kind: Any) -> Raw:
        hints = get_type_hints(kind, include_extras=True)
        optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
        about = " ".join((kind.__doc__ or "").split()).replace("``", "`")
        kinds = {name: get_args(hint)[0] if name in optional else hint for name, hint in hints.items()}
        return {
            "type": "object",
            **({"description": about} if about else {}),
            "properties": {name: self._schema(each) for name, each in kinds.items()},
            "required": [name for name in hints if name not in optional],
        }

    def _schema(self, kind: Any) -> Raw:
        if kind is Any:
            return {}
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        if is_typeddict(kind) or is_dataclass(kind):
            return {"$ref": f"#/$defs/{self.add(kind)}"}
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, UnionType):
            return {"anyOf": [self._schema(each) for each in arguments]}
        if origin is list:
            return {"type": "array", "items": self._schema(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._schema(arguments[1])}
        raise TypeError(f"{kind} has no JSON Schema here")


def main() -> int:
    """Write the schema, or say whether the file is what would be written."""
    parser = argparse.ArgumentParser(
        prog="python -m assay.cli.output.schema", description="The schema of what assay prints."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the file is another one")
    wanted = parser.parse_args()
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if not wanted.check:
        wanted.file.write_text(text, encoding="utf-8")
        return 0
    if wanted.file.exists() and wanted.file.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{wanted.file} is not what the code says: python -m assay.cli.output.schema {wanted.file}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
