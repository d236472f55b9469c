"""What MLflow's API is about: experiments, runs, logged models, registered models and their versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from assay.recorder.collectors.mlflow.points import Point, Points

Raw = dict[str, Any]

ACTIVE, DELETED = "active", "deleted"


@dataclass
class Experiment:
    """An experiment of this pod. Times in milliseconds."""

    id: str
    name: str
    created: int
    updated: int
    lifecycle: str = ACTIVE
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """A run of this pod. `main` is the Run of Assay; all others are its child runs."""

    id: str
    experiment: str
    name: str
    user: str
    start: int
    main: bool = False
    #: Whether a client has used the main run. Until then it follows the experiment that the script chooses.
    used: bool = False
    status: str = "RUNNING"
    end: int = 0
    lifecycle: str = ACTIVE
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[str, Points] = field(default_factory=dict)
    datasets: list[Raw] = field(default_factory=list)
    model_inputs: list[str] = field(default_factory=list)
    model_outputs: list[Raw] = field(default_factory=list)


@dataclass
class LoggedModel:
    """A model of MLflow 3, whose files are at `path` below the artifacts."""

    id: str
    experiment: str
    name: str
    type: str
    run: str
    path: str
    created: int
    updated: int
    status: str = "LOGGED_MODEL_PENDING"
    lifecycle: str = ACTIVE
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, Point, str, str, str]] = field(default_factory=list)  # key, point, run, dataset, digest


@dataclass
class Version:
    """A requested version of a registered model."""

    name: str
    number: int
    source: str
    run: str
    model: str
    created: int
    updated: int
    description: str = ""
    run_link: str = ""
    stage: str = "None"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Registered:
    """A registered model that the script has asked for."""

    name: str
    created: int
    updated: int
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    numbered: int = 0  # the last number that was given
