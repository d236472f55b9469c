"""The table of the sources. A new source is a module and a row here.

Modules are imported when a source is opened: most runs use one or two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from assay.recorder.collectors import json_lines
from assay.recorder.collectors.protocol import Collector, Opener, Position, Surroundings


class Source(NamedTuple):
    """One source: its name, the field of `spec.collect` that controls it ("" if none), whether it is on by default."""

    name: str
    field: str
    default: bool
    opener: Callable[[], Opener]


def _tensorboard() -> Opener:
    from assay.recorder.collectors import tensorboard

    return tensorboard.TensorBoard


def _mlflow() -> Opener:
    from assay.recorder.collectors.mlflow import collector

    return collector.opened


def _prometheus() -> Opener:
    from assay.recorder.collectors import prometheus

    return prometheus.endpoint


def _system() -> Opener:
    from assay.recorder.collectors import system

    return system.sampler


SOURCES = (
    Source(json_lines.FILE, "", True, lambda: json_lines.JsonLines),
    Source("tensorboard", "tensorboard", True, _tensorboard),
    Source("the MLflow endpoint", "mlflow", True, _mlflow),
    Source("prometheus", "prometheus", False, _prometheus),
    Source("system", "system", False, _system),
)


def opened(
    collect: Mapping[str, Any], directory: Path, spool: Path, clock: Callable[[], float]
) -> dict[str, Callable[[Position], Collector]]:
    """Return the functions that open the wanted sources at a position, by the name of the source.

    `collect` is `spec.collect` of the Run. A field that is false turns a source off; true and an object turn it on.
    """
    found: dict[str, Callable[[Position], Collector]] = {}
    for source in SOURCES:
        wanted = collect.get(source.field, source.default) if source.field else source.default
        if wanted is False or wanted is None:
            continue
        options = wanted if isinstance(wanted, Mapping) else {}
        around = Surroundings(directory, spool / "collectors" / (source.field or source.name), options, clock)
        found[source.name] = partial(_open, source, around)
    return found


def _open(source: Source, around: Surroundings, position: Position) -> Collector:
    return source.opener()(around, position)
