"""`assay diff`: the fields in which two runs differ, including the packages in their images."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from assay.cli.errors import NO
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries.runs import differences
from assay.queries.runs.differences import Diff


def show(session: Session, a: str, b: str, kinds: Sequence[str], output: Document) -> bool:
    """Print the differences of two runs, and return whether there are none. Raises AssayError."""
    found = differences.differences(session, a, b, kinds)
    if output is Document.TEXT:
        _print(found)
    else:
        printing.document(found, output.value)
    return found["same"]


def _print(found: Diff) -> None:
    if found["same"]:
        printing.note(f"{found['a']} and {found['b']} do not differ")
        return
    _line("-", f"-- {found['a']}")
    _line("+", f"++ {found['b']}")
    for kind, some in groupby(found["items"], key=lambda each: each["kind"]):
        printing.write(f"\n{kind}")
        for each in some:
            for sign, value in (("-", each["a"]), ("+", each["b"])):
                if value is not None:
                    _line(sign, f" {each['path']}  {_text(value)}")


def _line(sign: str, text: str) -> None:
    shown = sign + printing.clean(text).replace("\n", " ")
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    printing.write(f"\x1b[{31 if sign == '-' else 32}m{shown}\x1b[0m" if coloured else shown)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def command(
    session: Session,
    a: Annotated[str, typer.Argument(help="Run, which may be archived.")],
    b: Annotated[str, typer.Argument(help="Run to compare it with.")],
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Show only this kind, such as code or data; can be repeated.")
    ] = None,
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Show every field in which two runs differ. Exit code 0 if none differs, 6 otherwise."""
    if not show(session, a, b, kind or [], output):
        raise typer.Exit(NO)
