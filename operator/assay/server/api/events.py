"""Server-sent events: which objects have changed, and which runs have new points or samples.

Readers then ask for what they show.

Each event has the names of the objects: `{"names": ["digits-3"], "more": false}`; ``more`` says that others changed as
well. Its type is the kind (runs, experiments, modelversions, modelaliases), points, usage, or end, whose `message`
says why.
Its ID is where to resume: a client that connects again with `Last-Event-ID` misses nothing. Without it, the first event
says that anything may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from assay.api import names
from assay.api.errors import InvalidRequest
from assay.api.resources import EXPERIMENTS, MODEL_ALIASES, MODEL_VERSIONS, RUNS
from assay.server.api.operations import Call, Operation, Query
from assay.server.streams.pending import Pending
from assay.server.streams.points import PointsWatcher
from assay.server.streams.streams import Source
from assay.server.streams.watching import Wanted, Watcher, version_now

_POSITION = re.compile(r"([a-z]+)=([0-9]{1,20})")
_RUNS = 100


class Changed(TypedDict):
    """The data of one event."""

    names: list[str]
    more: bool


class RunEvents(Query):
    """Which runs, all of the namespace by default."""

    run: list[str] = Field([], max_length=_RUNS, description="Name of a run; repeated.")
    experiment: str = Field("", max_length=63, description="Only runs of this experiment.")
    points: bool = Field(False, description="Also tell when the named runs have new points or samples.")
    after: str = Field("", max_length=200, description="Where to resume, like the header Last-Event-ID.")


class ExperimentEvents(Query):
    """Which experiment, all of the namespace by default."""

    experiment: str = Field("", max_length=63, description="Name of an experiment. Its runs are watched as well.")
    after: str = Field("", max_length=200, description="Where to resume, like the header Last-Event-ID.")


class ModelEvents(Query):
    """All models of the namespace."""

    after: str = Field("", max_length=200, description="Where to resume, like the header Last-Event-ID.")


def of_runs(call: Call, query: RunEvents) -> Response:
    """Stream changes of runs."""
    if query.points and not query.run:
        raise InvalidRequest("points are those of named runs", hint="name them with run=")
    wanted = Wanted(RUNS, call.person.namespace, _of_experiment(query.experiment), frozenset(query.run))
    return _stream(call, [wanted], query.after, query.run if query.points else ())


def of_experiments(call: Call, query: ExperimentEvents) -> Response:
    """Stream changes of experiments, and of the runs of one."""
    named = frozenset(filter(None, [query.experiment]))
    wanted = [Wanted(EXPERIMENTS, call.person.namespace, "", named)]
    if query.experiment:
        wanted.append(Wanted(RUNS, call.person.namespace, _of_experiment(query.experiment)))
    return _stream(call, wanted, query.after)


def of_models(call: Call, query: ModelEvents) -> Response:
    """Stream changes of versions and aliases."""
    wanted = [Wanted(kind, call.person.namespace) for kind in (MODEL_VERSIONS, MODEL_ALIASES)]
    return _stream(call, wanted, query.after)


def _of_experiment(name: str) -> str:
    if name and not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
        raise InvalidRequest(f"invalid name of an experiment: {name!r}")
    return f"{names.LABEL_EXPERIMENT}={name}" if name else ""


def _stream(call: Call, wanted: Sequence[Wanted], after: str, points: Sequence[str] = ()) -> Response:
    person, streams = call.person, call.state.streams
    streams.check(person.key)
    # Refused before the stream begins: with a status and the reason.
    now = {each.kind: version_now(person.kube, each) for each in wanted}
    resumed = dict(_POSITION.findall(call.resume or after))

    def begin(pending: Pending) -> Sequence[Source]:
        for kind in now.keys() - resumed.keys():
            pending.changed(kind, version=now[kind])
        sources: list[Source] = [
            Watcher(person.kube, each, resumed.get(each.kind) or now[each.kind], pending, call.state.reach)
            for each in wanted
        ]
        if points:
            # A new person for each round: the Secret with the store's keys is read again, with the user's rights.
            sources.append(PointsWatcher(partial(person.within, person.namespace), points, pending))
        return sources

    return streams.response(person.key, begin)


OPERATIONS = (
    Operation(
        "run_events", "/namespaces/{namespace}/events/runs", "Stream changes of runs.", of_runs, Changed, RunEvents,
        content="text/event-stream",
    ),
    Operation(
        "experiment_events", "/namespaces/{namespace}/events/experiments", "Stream changes of experiments.",
        of_experiments, Changed, ExperimentEvents, content="text/event-stream",
    ),
    Operation(
        "model_events", "/namespaces/{namespace}/events/models", "Stream changes of versions and aliases.", of_models,
        Changed, ModelEvents, content="text/event-stream",
    ),
)  # fmt: skip
