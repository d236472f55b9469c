"""Names of the values of runs, such as `val_f1` and `params.depth`, the columns of tables, and the order of rows.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import TypedDict

from assay.api.errors import InvalidRequest
from assay.api.numbers import of_json
from assay.queries.runs.filters import ALIASES, unknown
from assay.queries.runs.rows import Row, RunRow

Path = tuple[str, ...]

SUMMARY: Final = ("last", "min", "max", "best", "step", "count")
#: Fields that are maps, so a name needs a key in them.
MAPS: Final = ("parameters", "metrics", "logged", "labels", "datasets", "source", "model", "objective")
_PLAIN: Final = tuple(name for name in RunRow.__annotations__ if name not in MAPS)
_TIMES: Final = frozenset({"created", "started", "completed", "age"})
DIRECTIONS: Final = ("asc", "desc")
_MORE: Final = ("experiment", "reason", "owner", "seed")
_Get = Callable[[RunRow], Any]


@dataclass(frozen=True)
class Field:
    """One value of a run by its path. `optional` fields are omitted where a line is too long."""

    title: str
    path: Path
    value: _Get
    optional: bool = False


class Summary(TypedDict):
    """The names of all values of some runs, without the runs. ``keys`` are by map; ``objectives`` count runs."""

    runs: int
    keys: dict[str, list[str]]
    differing: list[str]
    objectives: dict[str, int]
    directions: dict[str, str]


class Names:
    """The names of all values of some runs."""

    def __init__(self, rows: Sequence[RunRow] = (), summary: Summary | None = None) -> None:
        """Take the names from the runs, or from a summary of runs that are elsewhere."""
        self._rows, self._summary = rows, summary
        self.count = summary["runs"] if summary else len(rows)
        self.parameters = self._keys("parameters")
        self.metrics = self._keys("metrics")
        if summary:
            self.objectives, self._directions = Counter(summary["objectives"]), summary["directions"]
            return
        self.objectives = Counter(row["objective"]["metric"] for row in rows if row["objective"])
        self._directions = {
            row["objective"]["metric"]: row["objective"]["direction"] for row in rows if row["objective"]
        }

    def summary(self) -> Summary:
        """Return the names without the runs."""
        return self._summary or {
            "runs": self.count,
            "keys": {name: self._keys(name) for name in MAPS},
            "differing": self.differing(),
            "objectives": dict(self.objectives),
            "directions": self._directions,
        }

    def _keys(self, name: str) -> list[str]:
        if self._summary:
            return self._summary["keys"].get(name) or []
        return _keys(row[name] or {} for row in self._rows)  # type: ignore[literal-required]

    def has_direction(self, metric: str) -> bool:
        """Whether an objective of a run says which values of a metric are better."""
        return metric in self._directions

    def minimized(self, metric: str) -> bool:
        """Whether smaller values of a metric are better, according to the runs' objectives."""
        return self._directions.get(metric) == "minimize"

    def differing(self) -> list[str]:
        """The parameters in which the runs differ; for a single run, all of them."""
        if self._summary:
            return list(self._summary["differing"])
        if self.count < 2:
            return list(self.parameters)
        return [name for name in self.parameters if len({repr(row["parameters"].get(name)) for row in self._rows}) > 1]

    def ordered_metrics(self) -> list[str]:
        """The metrics, objectives first, the most frequent ones leading."""
        first = [name for name, _ in self.objectives.most_common() if name in self.metrics]
        return first + [name for name in self.metrics if name not in first]

    def field(self, name: str) -> Field:
        """Return the field with a name. Raises AssayError if no run has it."""
        if name in _PLAIN or name == "age":
            return _plain(name)
        first, _, rest = name.partition(".")
        first = ALIASES.get(first, first)
        if rest and first in MAPS:
            return self._within(name, first, rest)
        if name in self.metrics or self.has_direction(name):  # an objective counts before a run has recorded it
            return metric(name)
        if name in self.parameters:
            return parameter(name)
        if not self.count:
            return _at((name,), name)
        raise unknown(name, name, {*_PLAIN, "age", *self.metrics, *self.parameters})

    def unrecorded(self, field: Field) -> str:
        """Return a note if the field is an objective that no run has recorded; else ""."""
        if field.path[0] != "metrics" or field.path[1] in self.metrics or not self.count:
            return ""
        error = unknown(field.path[1], field.path[1], self.metrics)
        return f"no run has recorded its objective {field.path[1]} yet" + (f"; {error.hint}" if self.metrics else "")

    def _within(self, name: str, first: str, rest: str) -> Field:
        known = self._keys(first)
        if rest in known or not self.count or (first == "metrics" and self.has_direction(rest)):
            return {"metrics": metric, "parameters": parameter}.get(first, lambda key: _at((first, key), name))(rest)
        above, _, last = rest.rpartition(".")
        if above in known:
            return _at((first, above, last), name)
        raise unknown(name, rest, known)


def parameter(name: str, *, optional: bool = False) -> Field:
    """The field of a parameter."""
    return _at(("parameters", name), name, optional=optional)


def metric(name: str, *, optional: bool = False) -> Field:
    """The field of a metric: its best value if it is the run's objective, else the last one."""

    def value(row: RunRow) -> Any:
        summary = row["metrics"].get(name) or {}
        best = summary.get("best")
        found = summary.get("last") if best is None else best
        number = of_json(found)
        return found if number is None else number

    return Field(name, ("metrics", name), value, optional)


def default(names: Names, *, wide: bool) -> list[Field]:
    """The default columns of a table; `wide` adds all parameters, experiment, reason, owner and seed."""
    parameters = names.parameters if wide else names.differing()
    ordered = names.ordered_metrics()
    return [
        *(_plain(name) for name in ("name", "phase")),
        *(_plain(name) for name in _MORE if wide),
        *(parameter(name, optional=True) for name in parameters),
        *(metric(name, optional=bool(at)) for at, name in enumerate(ordered)),
        *(_plain(name) for name in ("duration", "age")),
    ]


def namespace() -> Field:
    """The field of the namespace, among runs of all namespaces."""
    return Field("NAMESPACE", ("namespace",), _getter(("namespace",)))


def flat(names: Names, rows: Sequence[RunRow]) -> list[Field]:
    """The columns of a file: every field by its full name, every summary of each metric."""
    found = [_at((name,), name) for name in _PLAIN]
    found += [_at(("parameters", name), f"params.{name}") for name in names.parameters]
    for name in names.metrics:
        known = _keys(row["metrics"].get(name) or {} for row in rows)
        found += [_at(("metrics", name, part), f"metrics.{name}.{part}") for part in SUMMARY if part in known]
    return found


def sort(rows: Iterable[Row], by: str, names: Names, *, reverse: bool = False) -> list[Row]:
    """Sort runs: by an objective best first, by a time newest first, otherwise ascending. Others come last.

    ``by`` may end with ":asc" or ":desc", which a metric that is no run's objective needs. A leading minus, or
    `reverse`, reverses the order. Runs with equal values are sorted by name. Raises AssayError.
    """
    field, descending = order(by, names, reverse=reverse)
    known: list[tuple[Any, Row]] = []
    others: list[Row] = []
    for row in sorted(rows, key=lambda row: row["name"]):
        value = field.value(row)
        if value is None or value == "" or value != value:
            others.append(row)
        else:
            known.append((value, row))
    known.sort(key=lambda each: _rank(each[0]), reverse=descending)
    return [row for _, row in known] + others


def order(by: str, names: Names, *, reverse: bool = False) -> tuple[Field, bool]:
    """Return the field to sort by, and whether its values descend. Raises AssayError if either is unknown."""
    plain = by.removeprefix("-")
    name, _, direction = plain.rpartition(":")
    if direction not in DIRECTIONS or not name:
        name, direction = plain, ""
    field = names.field(name)
    descending = direction == "desc" if direction else _descending(field, names)
    return field, descending ^ reverse ^ by.startswith("-")


def _descending(field: Field, names: Names) -> bool:
    """Whether the largest value comes first. Raises AssayError for a metric that no objective says this about."""
    if field.path[0] == "metrics" and field.path[2:] not in (("step",), ("count",)):
        metric = field.path[1]
        if not names.has_direction(metric):
            written = ".".join(field.path) if len(field.path) > 2 else metric
            raise InvalidRequest(
                f"cannot sort by {written}: it is no run's objective, so nothing says which values are better",
                hint=f"use --sort {written}:asc or --sort {written}:desc",
            )
        return not names.minimized(metric)
    return field.path[0] in _TIMES


def _rank(value: Any) -> tuple[int, Any]:
    """Return a sort key: numbers before strings before everything else."""
    if isinstance(value, bool | int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, repr(value))


def _plain(name: str) -> Field:
    if name == "age":
        return Field("AGE", ("age",), lambda row: row["created"])
    return Field({"name": "RUN"}.get(name, name.upper()), (name,), _getter((name,)))


def _at(path: Path, title: str, *, optional: bool = False) -> Field:
    return Field(title, path, _getter(path), optional)


def _getter(path: Path) -> _Get:
    def value(row: RunRow) -> Any:
        found: Any = row
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    return value


def _keys(maps: Iterable[Collection[str]]) -> list[str]:
    """Return the keys of the maps, each once, sorted."""
    found: set[str] = set()
    for each in maps:
        found.update(each)
    return sorted(found)
