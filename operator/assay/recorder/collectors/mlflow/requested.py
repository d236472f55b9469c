"""The artifacts that the script requests to register, and the models. Pure.

A request registers nothing. The operator grants it after the run has succeeded, and only if `spec.register.requested`
of the Experiment has the same name.
"""

from __future__ import annotations

from assay.recorder.collectors.mlflow.answers import ROOT
from assay.recorder.collectors.mlflow.entities import Version
from assay.recorder.collectors.mlflow.state import RUNS_FOLDER, State
from assay.store.limits import MAX_KEY_BYTES, MAX_REQUEST_CHARS, MAX_REQUESTS


def requests(state: State) -> dict[str, str]:
    """Return the path below the artifacts by the name of the registered model, for the newest version of each."""
    found: dict[str, str] = {}
    for model in state.registered.values():
        paths = [path for _, version in sorted(model.versions.items()) if (path := _path(state, version))]
        name = model.name.encode("utf-8", "replace").decode()
        if paths and len(name) <= MAX_REQUEST_CHARS and len(found) < MAX_REQUESTS:
            found[name] = paths[-1]
    return found


def _path(state: State, version: Version) -> str:
    """Return the path of a version's files; "" if they are not artifacts of this pod."""
    scheme, _, rest = version.source.partition(":/")
    parts = rest.strip("/").split("/")
    model = version.model or (parts[0] if scheme == "models" else "")
    if not model and version.source.startswith(ROOT) and parts[1:2] == ["models"] and parts[3:4] == ["artifacts"]:
        model, parts = parts[2], parts[3:]
    if logged := state.models.get(model):
        inside = [] if scheme == "models" or version.model else parts[1:]
        return _text([logged.path, *inside])
    if version.source.startswith(ROOT) and parts[2:3] == ["artifacts"]:
        return _below(state, parts[1], parts[3:])
    return _below(state, parts[0], parts[1:]) if scheme == "runs" else ""


def _below(state: State, run_id: str, parts: list[str]) -> str:
    run = state.runs.get(run_id)
    if run is None or not parts:
        return ""
    return _text(parts if run.main else [RUNS_FOLDER, run.id, *parts])


def _text(parts: list[str]) -> str:
    path = "/".join(filter(None, parts)).encode("utf-8", "replace").decode()
    return path if len(path.encode()) <= MAX_KEY_BYTES else ""
