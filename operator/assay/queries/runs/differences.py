"""The fields in which two runs differ, including the packages in their images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from typing_extensions import TypedDict

from assay.api.errors import AssayError, InvalidRequest
from assay.api.objects import Raw
from assay.planning.runs.compare import KINDS, Kind, Side, compare
from assay.queries.access import Access
from assay.queries.references import near
from assay.queries.runs import recorded
from assay.queries.runs.comparison import Row
from assay.store.errors import StoreError
from assay.store.parallel import ordered
from assay.store.recorded import read_environment

_WORKERS = 8


class Differing(TypedDict):
    """One field that differs. The value of a side without the field is null; never both."""

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


def differences(access: Access, a: str, b: str, kinds: Sequence[str] = ()) -> Diff:
    """Return the fields in which two runs differ; with ``kinds``, only those of these kinds. Raises AssayError."""
    for kind in kinds:
        if kind not in KINDS:
            hint = near(kind, KINDS) or f"kinds: {', '.join(KINDS)}"
            raise InvalidRequest(f"unknown kind of difference: {kind}", hint=hint)
    runs = [recorded.find(access, name) for name in (a, b)]
    sides = [Side(run, environment) for run, environment in zip(runs, _environments(access, runs), strict=True)]
    found = [each for each in compare(*sides) if not kinds or each.kind in kinds]
    items = [Differing(path=each.path, kind=each.kind, a=each.a, b=each.b) for each in found]
    return Diff(a=a, b=b, same=not found, items=items)


#: What made a run, rather than what came out of it.
MADE_OF: tuple[Kind, ...] = (
    "code", "images", "packages", "data", "command", "environment", "resources", "hardware", "job", "other"
)  # fmt: skip


def across(access: Access, runs: Sequence[Raw]) -> list[Row]:
    """Return the fields of code, data and environment in which some of the runs differ, with a value for each run.

    ``kind`` is one of MADE_OF. The values of environment variables are hidden.
    """
    first, *others = (
        Side(run, environment) for run, environment in zip(runs, _environments(access, runs), strict=True)
    )
    found: dict[tuple[int, str], list[Any]] = {}
    for at, other in enumerate(others, 1):
        for each in compare(first, other):
            if each.kind in MADE_OF:
                # A field that did not differ from the first run so far has its value in all of them.
                values = found.setdefault((MADE_OF.index(each.kind), each.path), [each.a] * len(runs))
                values[at] = each.b
    return [Row(field=path, kind=MADE_OF[kind], same=False, values=found[kind, path]) for kind, path in sorted(found)]


def _environments(access: Access, runs: Sequence[Raw]) -> list[Raw]:
    """Return the environments of the runs; all empty if one cannot be read, which would look like a difference."""
    try:
        return list(ordered(partial(read_environment, access.store), runs, _WORKERS))
    except (AssayError, StoreError) as error:
        access.note(f"packages and hardware are not compared: {error}")
        return [{} for _ in runs]
