"""What differs between two runs, field by field, with what the images of their pods had installed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any, TypedDict

from assay.cli.errors import USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.planning.runs.compare import KINDS, Difference, Side, compare
from assay.queries import recorded_runs
from assay.queries.references import near
from assay.store.errors import StoreError
from assay.store.recorded import read_environment

Raw = dict[str, Any]


class Differing(TypedDict):
    """One field that differs. A side that does not have it has null, and so has none of the two nothing."""

    path: str
    kind: str
    a: Any
    b: Any


class Diff(TypedDict):
    """`assay diff -o json`."""

    a: str
    b: str
    same: bool
    items: list[Differing]


def show(session: Session, a: str, b: str, kinds: Sequence[str], output: Document) -> bool:
    """Print what differs between two runs, and return whether they are the same. Raises CliError."""
    for kind in kinds:
        if kind not in KINDS:
            hint = near(kind, KINDS) or f"there are {', '.join(KINDS)}"
            raise CliError(f"there is no kind of difference {kind}", hint=hint, code=USAGE)
    runs = [recorded_runs.find(session, name) for name in (a, b)]
    sides = [Side(run, environment) for run, environment in zip(runs, _environments(session, runs), strict=True)]
    found = [each for each in compare(*sides) if not kinds or each.kind in kinds]
    if output is Document.TEXT:
        _print(a, b, found)
    else:
        items = [Differing(path=each.path, kind=each.kind, a=each.a, b=each.b) for each in found]
        printing.document(Diff(a=a, b=b, same=not found, items=items), output.value)
    return not found


def _environments(session: Session, runs: Sequence[Raw]) -> list[Raw]:
    """Return what the pods of runs ran in; of none of them, when one cannot be asked for: a side would seem empty."""
    try:
        return [read_environment(session.store, run) for run in runs]
    except (CliError, StoreError) as error:
        printing.note(f"packages and hardware are not compared: {error}")
        return [{} for _ in runs]


def _print(a: str, b: str, found: Sequence[Difference]) -> None:
    if not found:
        printing.note(f"{a} and {b} do not differ")
        return
    _line("-", f"-- {a}")
    _line("+", f"++ {b}")
    for kind, some in groupby(found, key=lambda each: each.kind):
        printing.write(f"\n{kind}")
        for each in some:
            for sign, value in (("-", each.a), ("+", each.b)):
                if value is not None:
                    _line(sign, f" {each.path}  {_text(value)}")


def _line(sign: str, text: str) -> None:
    shown = sign + printing.clean(text).replace("\n", " ")
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    printing.write(f"\x1b[{31 if sign == '-' else 32}m{shown}\x1b[0m" if coloured else shown)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
