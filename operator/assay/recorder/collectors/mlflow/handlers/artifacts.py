"""The artifacts of runs and logged models: upload, download, list and delete."""

from __future__ import annotations

import asyncio
import mimetypes
import os

from aiohttp import web

from assay.recorder.collectors.mlflow import answers, checks
from assay.recorder.collectors.mlflow.entities import Raw, Run
from assay.recorder.collectors.mlflow.errors import MlflowError, invalid, missing
from assay.recorder.collectors.mlflow.files import Entry, split
from assay.recorder.collectors.mlflow.handlers.requests import TRACKING, Call, Route, answer
from assay.recorder.collectors.mlflow.state import MODELS_FOLDER, RUNS_FOLDER
from assay.recorder.collectors.mlflow.tracking import Tracking

_CHUNK = 1 << 20


async def list_run(call: Call) -> Raw:
    """List a folder of a run's artifacts."""
    found = call.tracking.run(checks.required(call.body, "run_id", "run_uuid"))
    path = str(call.body.get("path") or "")
    entries = await _entries(call.tracking, _base(found), path, found)
    return {"root_uri": answers.artifact_uri(found), "files": [_file(entry, path) for entry in entries]}


async def list_model(call: Call) -> Raw:
    """List a folder of a logged model's files."""
    model = call.tracking.model(checks.required(call.body, "model_id"))
    path = str(call.body.get("artifact_directory_path") or "")
    entries = await _entries(call.tracking, model.path, path, None)
    return {"root_uri": answers.model_uri(model), "files": [_file(entry, path) for entry in entries]}


async def list_proxied(call: Call) -> Raw:
    """List a folder by the path of the proxy. Names are relative to that folder."""
    tracking = call.tracking
    path = str(call.body.get("path") or "")
    base, rest, owner = resolve(tracking, path)
    return {"files": [_file(entry, "") for entry in await _entries(tracking, base, rest, owner)]}


async def upload(request: web.Request) -> web.StreamResponse:
    """Store a file."""
    files = request.app[TRACKING].files
    target = _target(request)
    loop = asyncio.get_running_loop()
    written = await loop.run_in_executor(None, files.begin, target)
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            await loop.run_in_executor(None, files.write, written, chunk)
        await loop.run_in_executor(None, files.finish, written)
    finally:
        files.end(written)
    return answer({})


async def download(request: web.Request) -> web.StreamResponse:
    """Return a file."""
    loop = asyncio.get_running_loop()
    fd = await loop.run_in_executor(None, request.app[TRACKING].files.open, _target(request))
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123, ASYNC230 (a descriptor has no path; it is open)
        size = left = os.fstat(fd).st_size
        kind = mimetypes.guess_type(request.path)[0] or "application/octet-stream"
        response = web.StreamResponse(headers={"Content-Length": str(size), "Content-Type": kind})
        await response.prepare(request)
        while left and (chunk := await loop.run_in_executor(None, file.read, min(_CHUNK, left))):
            left -= len(chunk)
            await response.write(chunk)
    if left:  # the training has truncated it
        raise ConnectionResetError
    await response.write_eof()
    return response


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a file or a folder."""
    files = request.app[TRACKING].files
    await asyncio.get_running_loop().run_in_executor(None, files.remove, _target(request))
    return answer({})


async def refuse_parts(_: Call) -> Raw:
    """Multipart uploads are for stores behind the server. The client falls back to one PUT when it reads this text."""
    raise MlflowError("NOT_IMPLEMENTED", "Multipart upload is not supported for the current artifact repository")


async def refuse_presigned(_: Call) -> Raw:
    """There are no presigned addresses: the pod has no store credentials that it could delegate."""
    raise MlflowError("NOT_IMPLEMENTED", "Presigned URLs are not supported: artifacts go through the recorder")


def resolve(tracking: Tracking, path: str) -> tuple[str, str, Run | None]:
    """Return the folder below the artifacts, the rest of a path of the proxy, and the run if it is one's own path.

    Paths are `<experiment>/<run>/artifacts/…` and `<experiment>/models/<model>/artifacts/…`. Raises MlflowError.
    """
    parts = split(path)
    if len(parts) >= 4 and parts[1] == "models" and parts[3] == "artifacts":
        return tracking.model(parts[2]).path, "/".join(parts[4:]), None
    if len(parts) >= 3 and parts[2] == "artifacts":
        run = tracking.run(parts[1])
        return _base(run), "/".join(parts[3:]), run
    raise missing(f"No such artifact: '{path[:300]}'")


def _base(run: Run) -> str:
    return "" if run.main else f"{RUNS_FOLDER}/{run.id}"


def _join(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _target(request: web.Request) -> str:
    """Return the path of the file below the artifacts that a request is about. Raises MlflowError."""
    base, rest, owner = resolve(request.app[TRACKING], request.match_info["path"])
    if not rest:
        raise invalid("Invalid path: a file needs a name")
    if owner and owner.main and rest.split("/")[0] in (RUNS_FOLDER, MODELS_FOLDER):
        raise invalid(f"Invalid path: {rest[:300]}: the recorder keeps artifacts of child runs there")
    return _join(base, rest)


async def _entries(tracking: Tracking, base: str, path: str, owner: Run | None) -> list[Entry]:
    """List a folder. Files of logged models are not artifacts of the run that made them."""
    split(path)
    folder = _join(base, path)
    found = await asyncio.get_running_loop().run_in_executor(None, tracking.files.list, folder)
    if owner is None:
        return found
    hidden = {model.path for model in tracking.state.models.values()}
    hidden |= {RUNS_FOLDER, MODELS_FOLDER} if owner.main else set()
    if any(folder == each or folder.startswith(f"{each}/") for each in hidden if each != _base(owner)):
        return []
    return [entry for entry in found if _join(folder, entry.name) not in hidden]


def _file(entry: Entry, folder: str) -> Raw:
    path = _join(folder, entry.name)
    return (
        {"path": path, "is_dir": True}
        if entry.size is None
        else {"path": path, "is_dir": False, "file_size": entry.size}
    )


ROUTES = (
    Route("GET", "/mlflow/artifacts/list", list_run),
    Route("GET", "/mlflow/logged-models/{model_id}/artifacts/directories", list_model),
    Route("GET", "/mlflow-artifacts/artifacts", list_proxied),
    Route("POST", "/mlflow-artifacts/mpu/create", refuse_parts),  # MLflow 2.9
    Route("POST", "/mlflow-artifacts/mpu/create/{path:.*}", refuse_parts),
    Route("POST", "/mlflow-artifacts/mpu/complete/{path:.*}", refuse_parts),
    Route("POST", "/mlflow-artifacts/mpu/abort/{path:.*}", refuse_parts),
    Route("GET", "/mlflow-artifacts/presigned/{path:.*}", refuse_presigned),
    Route("POST", "/mlflow/artifacts/presigned-upload-url", refuse_presigned),
    Route("POST", "/mlflow/artifacts/presigned-download-url", refuse_presigned),
)
#: Requests whose body or answer is a file.
FILE_ROUTES = (("PUT", upload), ("GET", download), ("DELETE", delete))
FILE_PATH = "/mlflow-artifacts/artifacts/{path:.+}"
