"""Reads requests and makes answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from aiohttp import web

from assay.recorder.collectors.mlflow.entities import Raw
from assay.recorder.collectors.mlflow.errors import invalid
from assay.recorder.collectors.mlflow.tracking import Tracking

TRACKING = web.AppKey("tracking", Tracking)
_LISTS = ("experiment_ids", "order_by", "run_ids")


class Call(NamedTuple):
    """A request: its fields, from the body, the query and the path, and its subject."""

    tracking: Tracking
    body: Raw
    request: web.Request


#: Answers a request with JSON.
Handler = Callable[[Call], Awaitable[Raw]]


class Route(NamedTuple):
    """A method, a path below /api/2.0, and its handler."""

    method: str
    path: str
    handler: Handler


async def read(request: web.Request) -> Call:
    """Read the fields of a request. Raises MlflowError."""
    body: Raw = {}
    data = await request.read()
    if data:
        try:
            body = json.loads(data)
            if isinstance(body, str):  # old clients encode twice
                body = json.loads(body) if body.startswith("{") else {}
        except (ValueError, RecursionError):
            raise invalid("The request is not valid JSON") from None
        if not isinstance(body, dict):
            raise invalid("The request is not a JSON object")
    for name in request.query:
        values = request.query.getall(name)
        body.setdefault(name, values if name in _LISTS else values[-1])
    body |= request.match_info
    return Call(request.app[TRACKING], body, request)


def answer(body: Raw, status: int = 200) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


def strings(value: object, path: str) -> list[str]:
    """A list of texts of a request; [] if it is absent."""
    found = [value] if isinstance(value, str) else value or []
    if not isinstance(found, list) or any(not isinstance(each, str | int) for each in found):
        raise invalid(f"'{path}' must be a list of strings")
    return [str(each) for each in found]


def paged(name: str, rows: Iterable[Raw], token: str) -> Raw:
    """A page of results."""
    return {name: list(rows)} | ({"next_page_token": token} if token else {})
