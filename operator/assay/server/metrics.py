"""The Prometheus metrics of the Deployment, on a port of their own. No label has a name of a person or an object.

docs/metrics.md lists them; a test compares the two.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from prometheus_client import Gauge, Histogram, disable_created_metrics
from starlette.applications import Starlette
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from assay.server.index.feed import Feed
from assay.server.index.watched import Watched

disable_created_metrics()  # type: ignore[no-untyped-call]

REQUEST_SECONDS = Histogram(
    "assay_server_request_duration_seconds",
    "Time until the server began to answer a request, by route, method and status code.",
    ["route", "method", "code"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30),
)
INDEX_READY = Gauge("assay_server_index_ready", "1 when the index is complete and current, else 0.")
INDEX_AGE = Gauge("assay_server_index_age_seconds", "Time since the API server last confirmed the index.")
INDEX_RUNS = Gauge("assay_server_index_runs", "Runs in the index.")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe(runs: Collection[Feed], every: Collection[Watched[Any]]) -> None:
    """Export the state of the index, of the runs and of every kind, whenever somebody scrapes."""
    INDEX_READY.set_function(lambda: float(not any(feed.trouble for feed in every)))
    INDEX_AGE.set_function(lambda: max((feed.age for feed in every), default=0.0))
    INDEX_RUNS.set_function(lambda: float(sum(feed.size for feed in runs)))


class Measured:
    """Counts the requests of an application. Streams count until they begin."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route, method = self._route(scope), scope["method"] if scope["method"] in _METHODS else "other"
        start = time.perf_counter()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = REQUEST_SECONDS.labels(route, method, str(message["status"]))
                found.observe(time.perf_counter() - start)
            await send(message)

        await self._app(scope, receive, sent)

    def _route(self, scope: Scope) -> str:
        """Return the pattern of the route, "none" without one: never a path, which has names."""
        for route in self._app.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return route.path
        return "none"
