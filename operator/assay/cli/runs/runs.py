"""`assay runs`: runs filtered, sorted and printed."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from assay.api.names import NORMAL_WAITS
from assay.api.resources import EXPERIMENTS
from assay.cli.errors import NOT_FOUND, USAGE, CliError
from assay.cli.output import printing, run_cells
from assay.cli.output.printing import Format
from assay.cli.session import Session
from assay.queries.references import near
from assay.queries.runs import columns as run_columns
from assay.queries.runs import reading, remote
from assay.queries.runs.columns import Field, Names
from assay.queries.runs.filters import LISTED_METRICS, Filter, UnknownVariable, suggestion
from assay.queries.runs.rows import RunRow


class RunFormat(StrEnum):
    """How runs are printed. `wide` is a table with more columns, `parquet` a file."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    PARQUET = "parquet"


#: Runs that are searched for a name that the filter does not know.
_LOOKED_AT = 500
_TABLES = (RunFormat.TABLE, RunFormat.WIDE)


@dataclass(frozen=True)
class Request:
    """Which runs to print, in which order, and how. Without `columns`, the default columns."""

    experiment: str = ""
    where: str = ""
    sort: str = ""
    reverse: bool = False
    limit: int | None = None
    columns: tuple[str, ...] = ()
    output: RunFormat = RunFormat.TABLE
    to: Path | None = None
    archived: bool = False
    cached: bool = True
    server: str = ""
    everywhere: bool = False

    @property
    def streams(self) -> bool:
        """Whether runs can be printed in the order in which they are read, before all have been read."""
        sorted_by_name = self.sort == "name" and not self.everywhere
        return sorted_by_name and not self.reverse and not self.archived and self.output in _TABLES


def show(session: Session, request: Request) -> None:
    """Print the requested runs. Raises AssayError, StoreError."""
    _check(request)
    # Rows have no reference cycles and live until the process exits, and collecting garbage takes twice as long as
    # reading them. The process prints them and exits: only the command line may do this, never a query.
    gc.disable()
    found = _Found(session, request)
    if request.streams:
        _stream(found, request)
        return
    if request.server:
        _from_server(session, request)
        return
    rows = list(chain.from_iterable(found.pages()))
    names = Names(rows)
    rows = run_columns.sort(rows, request.sort or "created", names, reverse=request.reverse)
    _print(rows[: request.limit], names, request)
    if request.sort and (note := names.unrecorded(run_columns.order(request.sort, names)[0])):
        printing.note(note)


def _from_server(session: Session, request: Request) -> None:
    query = {
        "experiment": request.experiment,
        "where": request.where,
        "sort": request.sort,
        "reverse": "true" if request.reverse else "",
        "archived": "true" if request.archived else "",
    }
    found = remote.read(session, request.server, query, request.limit, everywhere=request.everywhere)
    if found.undecided:
        printing.note(_omitted(found.undecided, found.why))
    _print(found.rows, found.names, request)


def _omitted(runs: int, why: str) -> str:
    return f"omitted {runs} runs that --where cannot evaluate: {why}"


def _check(request: Request) -> None:
    """Raise CliError for options that cannot be combined."""
    if request.everywhere and request.archived:
        raise CliError(
            "--all cannot be combined with --all-namespaces: each namespace has its own keys for the store",
            hint="use --namespace with --all",
            code=USAGE,
        )
    if request.output is RunFormat.PARQUET:
        from assay.cli.output import run_files

        run_files.check(request.to)
    elif request.to is not None:
        raise CliError("--to requires -o parquet", hint="redirect other formats to a file with >", code=USAGE)
    if request.columns and request.output in (RunFormat.JSON, RunFormat.YAML):
        raise CliError(
            "--columns requires a table, csv or parquet", hint=f"-o {request.output} has all fields", code=USAGE
        )


class _Found:
    """The runs that match, and notes about those that could not be filtered."""

    def __init__(self, session: Session, request: Request) -> None:
        self._session, self._request = session, request
        self._filter = _filter(session, request) if request.where else None
        self._seen = 0

    def pages(self) -> Iterator[list[RunRow]]:
        """Yield runs as they are read, but none before every name in the filter is known to exist."""
        pending: list[RunRow] = []
        request = self._request
        for page in _pages(self._session, request):
            self._seen += len(page)
            here = not request.everywhere  # other namespaces have other keys for the store
            if here and self._filter is not None and any(len(row["metrics"]) >= LISTED_METRICS for row in page):
                from assay.queries.runs import omitted  # with the store's client, which few filters need

                page = omitted.filled(self._session, self._filter, page)
            pending += [row for row in page if self._filter is None or self._filter.matches(row)]
            if self._filter is None or not self._filter.unseen:
                yield pending
                pending = []
        self._check()
        yield pending

    def _check(self) -> None:
        if not self._seen:
            self._nothing()
        elif self._filter is not None:
            self._filter.check()
            if self._filter.undecided:
                printing.note(_omitted(self._filter.undecided, self._filter.why))

    def _nothing(self) -> None:
        experiment, everywhere = self._request.experiment, self._request.everywhere
        if everywhere:
            printing.note("no namespace has runs" + (f" of experiment {experiment}" if experiment else ""))
            return
        namespace = self._session.namespace
        if experiment:
            known = [each["metadata"]["name"] for each in self._session.kube.list(EXPERIMENTS, namespace)]
            if experiment not in known:
                hint = near(experiment, known) or "`assay experiments` lists them"
                raise CliError(f"namespace {namespace} has no experiment {experiment}", hint=hint, code=NOT_FOUND)
        printing.note(f"namespace {namespace} has no runs" + (f" of experiment {experiment}" if experiment else ""))


def _pages(session: Session, request: Request) -> Iterator[Sequence[RunRow]]:
    if request.everywhere:
        return reading.read_everywhere(session, request.experiment)
    return reading.read(session, request.experiment, archived=request.archived, cached=request.cached)


def _filter(session: Session, request: Request) -> Filter:
    """Return the compiled filter. For the bare name of a parameter or metric, the error says how to write it."""
    try:
        return Filter(request.where)
    except UnknownVariable as error:
        some = next(_pages(session, replace(request, archived=False)), [])
        error.hint = suggestion(error.name, some[:_LOOKED_AT]) or error.hint
        raise


# Printing


def _stream(found: _Found, request: Request) -> None:
    """Print a table page by page. The first page determines its columns."""
    fields: list[Field] = []
    widths: list[int] = []
    left = request.limit
    for page in found.pages():
        rows = page[:left]
        if not rows:
            continue
        fields = fields or _fields(rows, Names(rows), request)
        widths = _table(fields, rows, widths)
        sys.stdout.flush()
        if left is not None:
            left -= len(rows)
            if left <= 0:
                return


def _print(rows: Sequence[RunRow], names: Names, request: Request) -> None:
    if request.output in (RunFormat.JSON, RunFormat.YAML):
        _document(rows, request.output)
    elif request.output in _TABLES:
        if rows:
            _table(_fields(rows, names, request), rows)
            _troubles(rows, request)
    else:
        first = [run_columns.namespace()] if request.everywhere else []
        fields = first + ([names.field(name) for name in request.columns] or run_columns.flat(names, rows))
        titles = [each.title.lower() for each in first]
        titles += list(request.columns) or [field.title for field in fields[len(first) :]]
        cells = ([field.value(row) for field in fields] for row in rows)
        if request.output is RunFormat.CSV:
            printing.rows_as_csv(titles, cells)
        else:
            from assay.cli.output import run_files

            run_files.write(titles, list(cells), request.to)


def _troubles(rows: Sequence[RunRow], request: Request) -> None:
    """Print why runs failed or cannot start, if the table has no column that shows it."""
    if request.columns or request.output is RunFormat.WIDE:
        return
    stuck = (row for row in rows if row["phase"] == "Failed" or row["phase"] == "Pending")
    found = Counter((row["phase"], row["reason"]) for row in stuck if row["reason"] not in {"", *NORMAL_WAITS})
    if found:
        reasons = ", ".join(f"{count} {phase} ({reason})" for (phase, reason), count in sorted(found.items()))
        printing.note(f"{reasons}; --columns phase,reason,message shows why")


def _document(rows: Sequence[RunRow], output: RunFormat) -> None:
    """Print runs with all fields. JSON has one run per line, so that large lists are printed quickly."""
    if output is RunFormat.YAML:
        printing.document({"items": list(rows)}, "yaml")
        return
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    printing.write(f'{{"items": [\n{lines}\n]}}' if lines else '{"items": []}')


def _fields(rows: Sequence[RunRow], names: Names, request: Request) -> list[Field]:
    first = [run_columns.namespace()] if request.everywhere else []
    if request.columns:
        return first + [names.field(name) for name in ("name", *request.columns)]
    wide = request.output is RunFormat.WIDE
    fields = first + run_columns.default(names, wide=wide)
    if wide or not sys.stdout.isatty():
        return fields
    return run_cells.fitting(fields, rows, shutil.get_terminal_size().columns)


def _table(fields: Sequence[Field], rows: Sequence[RunRow], above: Sequence[int] = ()) -> list[int]:
    cells = ([run_cells.shown(field, row) for field in fields] for row in rows)
    return printing.table([run_cells.column(field) for field in fields], cells, Format.WIDE, above)


def command(
    session: Session,
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="Show only runs of this experiment.")] = "",
    where: Annotated[
        str, typer.Option("--where", help="Filter, in CEL: metrics.val_f1.best > 0.9 && params.depth in [2, 3].")
    ] = "",
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            help="Sort by the objective, best first; or by val/loss:asc, name, created, params.depth, -duration.",
        ),
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Maximum rows.")] = None,
    columns: Annotated[
        str, typer.Option("--columns", help="Columns, separated by commas: owner,params.depth,metrics.val_f1.min.")
    ] = "",
    archived: Annotated[bool, typer.Option("--all", help="Include archived runs.")] = False,
    output: Annotated[RunFormat, typer.Option("--output", "-o", help="Output format.")] = RunFormat.TABLE,
    to: Annotated[Path | None, typer.Option("--to", help="File for -o parquet.")] = None,
    cached: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Cache rows on this machine. They are validated on every use.")
    ] = True,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Show all namespaces.")] = False,
    server: Annotated[
        str, typer.Option("--server", envvar="ASSAY_SERVER", help="Address of a server, which answers from its index.")
    ] = "",
) -> None:
    """List runs with their parameters and metrics."""
    names = tuple(filter(None, columns.replace(" ", "").split(",")))
    request = Request(experiment, where, sort, reverse, limit, names, output, to, archived, cached, server, everywhere)
    show(session, request)
