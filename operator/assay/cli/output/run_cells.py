"""Formats the fields of runs as columns and cells of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column
from assay.planning.conditions import format_duration
from assay.queries.runs.columns import Field
from assay.queries.runs.rows import RunRow

_BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)


def column(field: Field) -> Column:
    """Return the column of a field."""
    number = field.path[0] == "metrics" and len(field.path) == 2
    styles = printing.PHASE if field.path == ("phase",) else {}
    return Column(printing.clean(field.title), number=number or field.path == ("seed",), styles=styles)


def shown(field: Field, row: RunRow) -> object:
    """Return the value of a field for a table."""
    found = field.value(row)
    if field.path == ("age",):
        return sheets.age(found)
    if isinstance(found, bool):
        return str(found).lower()
    if field.path == ("duration",) and found is not None:
        return format_duration(_BEGIN, _BEGIN + timedelta(seconds=found))
    return json.dumps(found, ensure_ascii=False) if isinstance(found, dict | list) else found


def fitting(fields: Sequence[Field], rows: Sequence[RunRow], width: int) -> list[Field]:
    """Return the fields that fit the width, without the last optional ones."""
    widths = [max([len(each.title), *(len(printing.cell(shown(each, row))) for row in rows)]) + 2 for each in fields]
    visible = list(zip(fields, widths, strict=True))
    while sum(size for _, size in visible) - 2 > width:
        last = max((at for at, (each, _) in enumerate(visible) if each.optional), default=None)
        if last is None:
            break
        del visible[last]
    return [each for each, _ in visible]
