"""Everything that the endpoint knows, built from journal entries alone. No I/O; an entry that was written is valid.

Handlers validate a request, make an entry of it and `apply` it; replaying the journal gives the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from assay.recorder.collectors.mlflow.entities import ACTIVE, Experiment, LoggedModel, Raw, Registered, Run, Version
from assay.recorder.collectors.mlflow.points import Point, Points

RUNS_FOLDER, MODELS_FOLDER = "mlflow-runs", "mlflow-models"  # below the artifacts
OWN_EXPERIMENT, DEFAULT_EXPERIMENT = "1", "0"
_RUN_NAME = "mlflow.runName"


@dataclass
class State:
    """Apply entries in order. `history_points` limits the points in memory."""

    history_points: int
    experiments: dict[str, Experiment] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    models: dict[str, LoggedModel] = field(default_factory=dict)
    registered: dict[str, Registered] = field(default_factory=dict)
    main: str = ""
    chosen: str = OWN_EXPERIMENT  # the experiment that the script named last
    kept: int = 0
    series: int = 0
    metadata_bytes: int = 0

    def apply(self, entry: Raw) -> None:
        """Apply one entry."""
        getattr(self, "_" + entry["op"])(entry)

    def log(self, run: Run, metrics: Iterable[list[Any]]) -> list[list[Any]]:
        """Add points: key, value, time, step and, for a model's metric, model, dataset and digest.

        Return those that were not there yet.
        """
        return [metric for metric in metrics if self._point(run, metric)]

    def model_path(self, run: str, name: str) -> str:
        """The folder of a new model below the artifacts: the model's name, where it is free."""
        owner = self.runs.get(run)
        base = name if owner and owner.main else f"{RUNS_FOLDER}/{run}/{name}" if owner else ""
        taken = not base or any(other.path == base for other in self.models.values())
        return "" if taken else base

    # Experiments

    def _experiment(self, entry: Raw) -> None:
        time = entry["time"]
        made = Experiment(entry["id"], entry["name"], time, time, tags=entry.get("tags") or {})
        self.experiments[made.id] = made
        self.chosen = made.id

    def _experiment_update(self, entry: Raw) -> None:
        experiment = self.experiments[entry["id"]]
        experiment.name = entry.get("name", experiment.name)
        experiment.lifecycle = entry.get("lifecycle", experiment.lifecycle)
        experiment.updated = entry["time"]

    def _experiment_tag(self, entry: Raw) -> None:
        _set(self.experiments[entry["id"]].tags, {entry["key"]: entry["value"]})

    # Runs

    def _run(self, entry: Raw) -> None:
        run = Run(entry["id"], entry["experiment"], entry["name"], entry.get("user", ""), entry["start"])
        run.main, run.tags = entry.get("main", False), dict(entry["tags"])
        self.runs[run.id] = run
        if run.main:
            self.main = run.id

    def _use(self, entry: Raw) -> None:
        """A client takes the main run: by its id, or by creating the first run."""
        run = self.runs[self.main]
        run.used, run.experiment = True, entry["experiment"]
        run.start = entry.get("start") or run.start
        run.name = entry.get("name") or run.name
        run.user = entry.get("user") or run.user
        run.tags |= {**(entry.get("tags") or {}), _RUN_NAME: run.name}

    def _run_update(self, entry: Raw) -> None:
        run = self.runs[entry["run"]]
        run.status = entry.get("status", run.status)
        run.end = entry.get("end", run.end)
        run.lifecycle = entry.get("lifecycle", run.lifecycle)
        if entry.get("name"):
            run.name = run.tags[_RUN_NAME] = entry["name"]

    def _log(self, entry: Raw) -> None:
        run = self.runs[entry["run"]]
        for metric in entry.get("metrics", ()):
            self._point(run, metric)
        run.params |= entry.get("params") or {}
        run.tags |= entry.get("tags") or {}
        run.name = run.tags.get(_RUN_NAME, run.name)

    def _point(self, run: Run, metric: list[Any]) -> bool:
        key, value, time, step, *model = metric
        points = run.points.get(key)
        if points is None:
            points = run.points[key] = Points()
            self.series += 1
        point = Point(value, time, step)
        keep = self.kept < self.history_points
        if not points.add(point, keep):
            return False
        self.kept += keep
        if model and (logged := self.models.get(model[0])):
            logged.metrics = [m for m in logged.metrics if (m[0], m[3:]) != (key, tuple(model[1:]))]
            logged.metrics.append((key, point, run.id, model[1], model[2]))
        return True

    def _untag(self, entry: Raw) -> None:
        self.runs[entry["run"]].tags.pop(entry["key"], None)

    def _inputs(self, entry: Raw) -> None:
        run = self.runs[entry["run"]]
        run.datasets += entry.get("datasets") or []
        run.model_inputs += [each for each in entry.get("models") or [] if each not in run.model_inputs]

    def _outputs(self, entry: Raw) -> None:
        self.runs[entry["run"]].model_outputs += entry["models"]

    # Logged models

    def _model(self, entry: Raw) -> None:
        self.models[entry["id"]] = LoggedModel(
            id=entry["id"],
            experiment=entry["experiment"],
            name=entry["name"],
            type=entry["type"],
            run=entry["run"],
            path=entry["path"],
            created=entry["time"],
            updated=entry["time"],
            params=entry["params"],
            tags=entry["tags"],
        )

    def _model_update(self, entry: Raw) -> None:
        model = self.models[entry["id"]]
        model.status = entry.get("status", model.status)
        model.lifecycle = entry.get("lifecycle", model.lifecycle)
        model.params |= entry.get("params") or {}
        _set(model.tags, entry.get("tags") or {})
        model.updated = entry["time"]

    # The registry

    def _register(self, entry: Raw) -> None:
        name = entry["name"]
        self.registered[name] = Registered(name, entry["time"], entry["time"], entry["description"], entry["tags"])

    def _register_update(self, entry: Raw) -> None:
        model = self.registered[entry["name"]]
        model.description = entry.get("description", model.description)
        model.updated = entry["time"]
        _set(model.tags, entry.get("tags") or {})
        for alias, number in (entry.get("aliases") or {}).items():
            _set(model.aliases, {alias: number})

    def _register_rename(self, entry: Raw) -> None:
        model = self.registered.pop(entry["name"])
        model.name = entry["to"]
        for version in model.versions.values():
            version.name = model.name
        self.registered[model.name] = model

    def _register_delete(self, entry: Raw) -> None:
        del self.registered[entry["name"]]

    def _version(self, entry: Raw) -> None:
        model = self.registered[entry["name"]]
        model.numbered += 1
        model.versions[model.numbered] = Version(
            name=model.name,
            number=model.numbered,
            source=entry["source"],
            run=entry["run"],
            model=entry["model"],
            created=entry["time"],
            updated=entry["time"],
            description=entry["description"],
            run_link=entry["run_link"],
            tags=entry["tags"],
        )
        model.updated = entry["time"]

    def _version_update(self, entry: Raw) -> None:
        version = self.registered[entry["name"]].versions[entry["version"]]
        version.description = entry.get("description", version.description)
        version.stage = entry.get("stage", version.stage)
        version.updated = entry["time"]
        _set(version.tags, entry.get("tags") or {})

    def _version_delete(self, entry: Raw) -> None:
        model = self.registered[entry["name"]]
        del model.versions[entry["version"]]
        model.aliases = {alias: number for alias, number in model.aliases.items() if number != entry["version"]}


def active(found: Iterable[Any], view: str) -> list[Any]:
    """The entries that a view type of MLflow shows."""
    if view == "ALL":
        return list(found)
    return [each for each in found if (each.lifecycle == ACTIVE) == (view != "DELETED_ONLY")]


def _set(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Set values; None removes one."""
    for key, value in values.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value
