"""Compares runs: parameters, metrics and other fields, with a row for each field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw, experiment_of
from assay.planning.runs.recipe import containers_of, datasets_of, digests_of
from assay.queries.references import near
from assay.queries.runs import attempts

#: The values of a metric, in the order of the rows.
_VALUES = ("last", "best", "min", "max", "step", "count")


_STATUS = ("phase", "reason", "duration", "startTime", "completionTime")


class Row(TypedDict):
    """One field of all runs: a value for each run, None if it does not have the field."""

    field: str
    kind: str
    same: bool
    values: list[Any]


class Comparison(TypedDict):
    """`assay compare -o json`. ``notes`` name runs whose metrics are those of one pod of several."""

    runs: list[str]
    items: list[Row]
    notes: list[str]


def compared(runs: Sequence[Raw], metrics: Sequence[str] = ()) -> Comparison:
    """Return all fields of runs, parameters first; with ``metrics``, only those metrics. Raises AssayError."""
    facts = [_facts(run) for run in runs]
    order = sorted({key for each in facts for key in each}, key=_order(facts))
    known = {field.rpartition(".")[0].removeprefix("metrics.") for kind, field in order if kind == "metric"}
    for name in metrics:
        if name not in known:
            raise ObjectNotFound(f"none of the runs has a metric {name}", hint=near(name, known))
    selected = [key for key in order if not metrics or key[1].rpartition(".")[0].removeprefix("metrics.") in metrics]
    items = [_row(key, facts) for key in selected]
    notes = list(filter(None, map(attempts.note_of, runs)))
    return Comparison(runs=[run["metadata"]["name"] for run in runs], items=items, notes=notes)


_Key = tuple[str, str]


_FEWEST_SAMPLES = 3
_KINDS = ("parameter", "metric", "outcome", "data", "code", "image", "model", "usage")


def _order(facts: Sequence[Mapping[_Key, Any]]) -> Any:
    """Return the sort key of the rows: by kind, then in the order of the runs' fields."""
    places = {key: at for each in reversed(facts) for at, key in enumerate(each)}
    return lambda key: (_KINDS.index(key[0]), places[key])


def _row(key: _Key, facts: Sequence[Mapping[_Key, Any]]) -> Row:
    values = [each.get(key) for each in facts]
    same = all(value == values[0] and isinstance(value, bool) == isinstance(values[0], bool) for value in values)
    return Row(field=key[1], kind=key[0], same=same, values=values)


def _facts(run: Raw) -> dict[_Key, Any]:
    return {key: value for key, value in _fields(run) if value is not None}


def _fields(run: Raw) -> Iterator[tuple[_Key, Any]]:
    spec, status = run["spec"], run.get("status") or {}
    for name, value in sorted((spec.get("parameters") or {}).items()):
        yield ("parameter", f"params.{name}"), value
    yield ("parameter", "seed"), spec.get("seed")
    yield from _logged(status)
    yield from _metrics(spec, status)
    for name in _STATUS:
        yield ("outcome", name), status.get(name)
    yield ("outcome", "owner"), spec.get("owner")
    yield ("outcome", "experiment"), experiment_of(run) or None
    for dataset in datasets_of(spec, status):
        for part in ("version", "uri", "digest"):
            yield ("data", f"datasets.{dataset.get('name')}.{part}"), dataset.get(part)
    for part in ("repository", "revision", "path"):
        yield ("code", f"source.{part}"), (spec.get("source") or {}).get(part)
    digests = digests_of(status)
    for container in containers_of(spec):
        name = str(container.get("name"))
        yield ("image", f"image.{name}"), digests.get(name) or container.get("image")
    for part in ("digest", "size"):
        yield ("model", f"model.{part}"), (status.get("model") or {}).get(part)
    usage = status.get("usage") or {}
    # Of a run that was seen once or twice, the figures are those of an accident.
    known = usage if (usage.get("samples") or 0) >= _FEWEST_SAMPLES else {}
    for part in ("cpuSeconds", "maxMemoryBytes"):
        yield ("usage", f"usage.{part}"), known.get(part)


def _logged(status: Raw) -> Iterator[tuple[_Key, Any]]:
    """Yield the parameters and tags that the training code has logged."""
    for part, title in (("parameters", "logged"), ("tags", "loggedTags")):
        for name, value in sorted(((status.get("logged") or {}).get(part) or {}).items()):
            yield ("parameter", f"{title}.{name}"), value


def _metrics(spec: Raw, status: Raw) -> Iterator[tuple[_Key, Any]]:
    """Yield the values of the objective, then those of the other metrics by name."""
    objective = (spec.get("objective") or {}).get("metric")
    found: Raw = status.get("metrics") or {}
    for name in sorted(found, key=lambda each: (each != objective, each)):
        for part in _VALUES:
            yield ("metric", f"metrics.{name}.{part}"), found[name].get(part)
