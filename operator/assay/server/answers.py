"""Responses: JSON, and errors of the reading layer as HTTP statuses."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from starlette.requests import Request
from starlette.responses import Response
from urllib3.exceptions import HTTPError

from assay.api.errors import (
    AssayError,
    InvalidRequest,
    ObjectNotFound,
    PermissionDenied,
    Unreachable,
)
from assay.kube.errors import ApiError
from assay.server.person import NotSignedIn
from assay.server.streams.streams import TooManyStreams
from assay.store.errors import ConfigError, NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NotSignedIn, 401),
    (TooManyStreams, 429),
    (InvalidRequest, 400),
    (ObjectNotFound, 404),
    (PermissionDenied, 403),
    (Unreachable, 503),
    (StoreUnavailable, 503),
    (StoreDenied, 403),
    (NotFound, 404),
    (HTTPError, 503),
    (RecordError, 409),
    (ConfigError, 409),
    (StoreError, 409),
    (AssayError, 409),
)
#: The statuses of the API server that concern the user's request; others are the API server's own failures.
_PASSED = frozenset({400, 401, 403, 404, 409, 410, 422, 429})


def as_json(answer: Any, status: int = 200) -> Response:
    """Return an answer as JSON, as ``encoded`` writes it."""
    return of_json(encoded(answer), status)


def of_json(data: bytes, status: int = 200) -> Response:
    """Return JSON that is encoded already."""
    return Response(data, status, media_type="application/json")


def encoded(answer: Any) -> bytes:
    """Return an answer as the bytes of its JSON. Numbers that JSON does not have become null."""
    try:
        return to_json(answer, inf_nan_mode="null")
    except (PydanticSerializationError, UnicodeEncodeError):  # a text that is no UTF-8
        return json.dumps(_finite(answer), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def refusal(status: int, message: str, hint: str = "") -> Response:
    """Return an error as JSON."""
    return as_json({"error": {"message": message, "hint": hint}}, status)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error of the layers below, 500 for a bug."""
    if isinstance(error, ApiError):
        return error.status if error.status in _PASSED else 503
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def explained(error: Exception) -> tuple[int, str, str]:
    """Return status, message and hint of an error. A bug's text stays in the log: it may quote anything."""
    status = status_of(error)
    if status == 500:
        return 500, "this is a bug in assay; the server's log has the traceback", ""
    if isinstance(error, AssayError):
        return status, error.message, error.hint
    return status, str(error), ""


def on_error(_: Request, error: Exception) -> Response:
    """Handle an error of a route."""
    return refusal(*explained(error))


#: What `on_error` handles.
KNOWN: tuple[type[Exception], ...] = tuple(kind for kind, _ in _STATUSES)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
