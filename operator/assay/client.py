"""Runs and curves as pandas data frames, for notebooks and scripts. Reads only; signs in like kubectl.

    from assay import client

    client.runs("digits")                              one row a run
    client.curves("digits", metric="loss", top=3)      one row a point

Requires `pip install 'assay[cli,notebook]'`. Every function takes ``namespace``, ``context`` and ``kubeconfig``, with
kubectl's defaults, and raises AssayError with a message and a hint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from assay.api.errors import AssayError, ObjectNotFound, PermissionDenied, RequestFailed, Unreachable
from assay.queries.access import Access

if TYPE_CHECKING:
    import pandas

__all__ = ["AssayError", "curves", "experiments", "runs"]


@dataclass
class _Notebook(Access):
    """Access from a notebook. Notes become warnings."""

    def note(self, text: str) -> None:
        import warnings

        warnings.warn(text, stacklevel=4)


@contextmanager
def _errors_of_assay() -> Iterator[None]:
    """Raise AssayError for errors of the store and for broken connections."""
    from urllib3.exceptions import HTTPError

    from assay.store.errors import NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable

    try:
        yield
    except (StoreUnavailable, HTTPError) as error:
        raise Unreachable(str(error), hint="check that it is up and reachable from this machine") from error
    except StoreDenied as error:
        hint = "your keys for the store may not read this, or have expired"
        raise PermissionDenied(str(error), hint=hint) from error
    except NotFound as error:
        raise ObjectNotFound(str(error)) from error
    except (StoreError, RecordError) as error:
        raise RequestFailed(str(error)) from error


@_errors_of_assay()
def runs(
    experiment: str = "",
    *,
    where: str = "",
    archived: bool = False,
    namespace: str = "",
    context: str = "",
    kubeconfig: str = "",
) -> pandas.DataFrame:
    """Return the runs of an experiment, or of the namespace, by name.

    Columns are those of `assay runs -o csv`: name, phase, params.<name>, metrics.<name>.last and so on. ``where`` is an
    expression as of `assay runs --where`; ``archived`` adds runs that only the store has. Times are in UTC.
    """
    import pandas

    from assay.queries.runs import columns, reading
    from assay.queries.runs.filters import Filter

    access = _Notebook(kubeconfig, context, namespace)
    found = list(chain.from_iterable(reading.read(access, experiment, archived=archived, cached=False)))
    if not found and experiment:
        from assay.queries import references

        references.experiment(access, experiment)
    if where:
        chosen = Filter(where)
        some = [row for row in found if chosen.matches(row)]
        if found:
            chosen.check()
        found = some
    found = sorted(found, key=lambda row: row["name"])
    fields = columns.flat(columns.Names(found), found)
    frame = pandas.DataFrame({field.title: [field.value(row) for row in found] for field in fields})
    for name in ("created", "started", "completed"):
        if name in frame:
            frame[name] = pandas.to_datetime(frame[name].replace("", None), utc=True)
    return frame.set_index("name") if "name" in frame else frame


@_errors_of_assay()
def curves(
    selected: str | Sequence[str],
    *,
    metric: str | Sequence[str] = (),
    top: int | None = None,
    namespace: str = "",
    context: str = "",
    kubeconfig: str = "",
) -> pandas.DataFrame:
    """Return the points of metrics: run, metric, step, time and value, in the order in which they were written.

    ``selected`` is an experiment, or a list of runs or of patterns such as ["digits-*"]. ``metric`` is the objective by
    default; a run that lacks a metric is omitted, with a warning. ``top`` selects the best runs by their objective.
    Requires keys of the store, as `assay curves` does.
    """
    import pandas

    from assay.queries.curves.reading import points_of
    from assay.queries.runs import attempts, selecting

    access = _Notebook(kubeconfig, context, namespace)
    experiment, patterns = (selected, []) if isinstance(selected, str) else ("", list(selected))
    metrics = [metric] if isinstance(metric, str) else list(metric)
    parts: list[Any] = []
    for run in selecting.selected(access, patterns, experiment, top):
        if other := attempts.note_of(run):
            access.note(other)
        own = metrics or [(run["spec"].get("objective") or {}).get("metric") or ""]
        with points_of(access.store, run) as points:
            for name in filter(None, own):
                try:
                    curve = points.curve(name)
                except ObjectNotFound as error:
                    access.note(f"omitted: {error.message}")
                    continue
                columns = {
                    "run": curve.run,
                    "metric": name,
                    "step": curve.step,
                    "time": curve.time,
                    "value": curve.value,
                }
                parts.append(pandas.DataFrame(columns))
    if not parts:
        return pandas.DataFrame(columns=["run", "metric", "step", "time", "value"])
    frame = pandas.concat(parts, ignore_index=True)
    # A program may have logged any number as its time, such as nanoseconds with MLflow's client.
    frame["time"] = pandas.to_datetime(frame["time"], unit="s", utc=True, errors="coerce")
    return frame


def experiments(*, namespace: str = "", context: str = "", kubeconfig: str = "") -> pandas.DataFrame:
    """Return the experiments of the namespace with their progress and best value, newest first."""
    import pandas

    from assay.queries.runs import experiment_list

    found = experiment_list.listed(_Notebook(kubeconfig, context, namespace))
    frame = pandas.DataFrame(found, columns=list(experiment_list.ExperimentRow.__annotations__))
    frame["created"] = pandas.to_datetime(frame["created"], utc=True)
    return frame.set_index("name")
