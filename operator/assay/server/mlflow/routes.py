"""The table of MLflow's endpoints, below /mlflow and /mlflow/NAMESPACE. Everything else is refused in MLflow's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assay.api.errors import InvalidRequest
from assay.api.objects import Raw
from assay.server.answers import KNOWN, as_json, explained
from assay.server.mlflow import artifacts, registry, tracking
from assay.server.mlflow.calls import Call
from assay.server.person import person_of

_Answer = Callable[[Call], Raw | Response]
_MLFLOW: Final = "/api/2.0/mlflow"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
_LARGEST_BODY: Final = 1 << 20
#: Method and path, and who answers.
ENDPOINTS: Final[dict[tuple[str, str], _Answer]] = {
    ("POST", f"{_MLFLOW}/runs/search"): tracking.search_runs,
    ("GET", f"{_MLFLOW}/runs/get"): tracking.get_run,
    ("GET", "/api/3.0/mlflow/server-info"): tracking.server_info,
    ("GET", f"{_MLFLOW}/metrics/get-history"): tracking.history,
    ("GET", f"{_MLFLOW}/experiments/search"): tracking.search_experiments,
    ("POST", f"{_MLFLOW}/experiments/search"): tracking.search_experiments,
    ("GET", f"{_MLFLOW}/experiments/get"): tracking.get_experiment,
    ("GET", f"{_MLFLOW}/experiments/get-by-name"): tracking.get_experiment,
    ("GET", f"{_MLFLOW}/artifacts/list"): artifacts.of_run,
    ("GET", _FILES): artifacts.of_address,
    ("GET", f"{_MLFLOW}/registered-models/search"): registry.search_models,
    ("GET", f"{_MLFLOW}/registered-models/get"): registry.get_model,
    ("GET", f"{_MLFLOW}/registered-models/alias"): registry.get_by_alias,
    ("POST", f"{_MLFLOW}/registered-models/alias"): registry.set_alias,
    ("GET", f"{_MLFLOW}/model-versions/search"): registry.search_versions,
    ("GET", f"{_MLFLOW}/model-versions/get"): registry.get_version,
    ("GET", f"{_MLFLOW}/model-versions/get-download-uri"): registry.download_address,
}
_CODES: Final[Mapping[int, str]] = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def routes() -> list[Route]:
    """Return the routes: with the namespace in the address, or in the user's default namespace."""
    everything = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    return [
        Route(f"/mlflow{start}{rest}", _endpoint, methods=everything)
        for start in ("", "/{namespace}")
        for rest in ("/api/{path:path}", "/ajax-api/{path:path}")
    ]


async def _endpoint(request: Request) -> Response:
    person = person_of(request)
    namespace = request.path_params.get("namespace", "")
    path = "/api/" + request.path_params["path"]
    try:
        arguments = await _arguments(request)
        call = Call(person.within(namespace) if namespace else person, request.app.state.shared, arguments)
        if request.method == "GET" and path.startswith(f"{_FILES}/"):
            return await run_in_threadpool(artifacts.download, call, path.removeprefix(f"{_FILES}/"))
        answer = ENDPOINTS.get((request.method, path))
        if answer is None:
            message = f"No API found for '{request.method} {path[:300]}': this server reads runs and the registry"
            return refused(404, "ENDPOINT_NOT_FOUND", message)
        return await run_in_threadpool(_answered, answer, call)
    except KNOWN as error:
        status, message, hint = explained(error)
        text = f"{message} ({hint})" if hint else message
        return refused(status, _CODES.get(status, "INTERNAL_ERROR"), text)


def _answered(answer: _Answer, call: Call) -> Response:
    found = answer(call)
    return found if isinstance(found, Response) else as_json(found)


def refused(status: int, code: str, message: str) -> Response:
    """Return an error in MLflow's form."""
    return as_json({"error_code": code, "message": message}, status)


async def _arguments(request: Request) -> dict[str, Any]:
    query = request.query_params
    found: dict[str, Any] = {name: query.getlist(name) for name in query}
    if request.method != "GET":
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LARGEST_BODY:
                raise InvalidRequest("The request is too large.")
        try:
            values = from_json(body or b"{}")  # refuses what is nested too deeply, and texts that are no Unicode
        except ValueError:
            raise InvalidRequest("Malformed request body: it is not JSON.") from None
        if not isinstance(values, dict):
            raise InvalidRequest("Malformed request body: it is not an object.")
        found |= values
    return found
