"""The fields in which two runs differ, including the packages in their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict

from assay.api.errors import AssayError, InvalidRequest
from assay.api.objects import Raw
from assay.planning.runs.compare import KINDS, Side, compare
from assay.queries.access import Access
from assay.queries.references import near
from assay.queries.runs import recorded
from assay.store.errors import StoreError
from assay.store.recorded import read_environment


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


def _environments(access: Access, runs: Sequence[Raw]) -> list[Raw]:
    """Return the environments of the runs; all empty if one cannot be read, which would look like a difference."""
    try:
        return [read_environment(access.store, run) for run in runs]
    except (AssayError, StoreError) as error:
        access.note(f"packages and hardware are not compared: {error}")
        return [{} for _ in runs]
