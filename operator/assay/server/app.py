"""Puts the application together: guard, entrance, and the routes of the API and the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from assay.server.answers import KNOWN, on_error, refusal
from assay.server.api import aliases, audit, curves, events, experiments, logs, models, openapi, people, runs, usage
from assay.server.api.operations import Operation, routes
from assay.server.entrance.entrance import Entrance, SignedIn
from assay.server.guard.guard import Guard
from assay.server.mlflow import routes as mlflow
from assay.server.pages import site
from assay.server.pages.routes import ROUTES as PAGES
from assay.server.person import NotSignedIn
from assay.server.runs import RunsOfApiServer
from assay.server.state import State

#: Every operation of the API. A new subject is a module and a row here.
OPERATIONS: tuple[Operation, ...] = (
    *people.OPERATIONS,
    *runs.OPERATIONS,
    *curves.OPERATIONS,
    *usage.OPERATIONS,
    *logs.OPERATIONS,
    *experiments.OPERATIONS,
    *models.OPERATIONS,
    *aliases.OPERATIONS,
    *audit.OPERATIONS,
    *events.OPERATIONS,
)


@dataclass(frozen=True)
class Parts:
    """What an application is made of. ``hosts`` are the host names that it answers for, any if empty.

    ``ready`` says why the server cannot answer yet, "" if it can. ``running`` surrounds the life of the application.
    """

    entrance: Entrance
    hosts: Collection[str] = ()
    state: State = field(default_factory=lambda: State(RunsOfApiServer()))
    more: Sequence[BaseRoute] = ()
    ready: Callable[[], str] = lambda: ""
    running: Callable[[], AbstractAsyncContextManager[None]] | None = None


def create(parts: Parts) -> Starlette:
    """Return the ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if parts.running is None:
            yield
            return
        async with parts.running():
            yield

    def readyz(_: Request) -> Response:
        problem = parts.ready()
        return PlainTextResponse(problem or "ok", 503 if problem else 200)

    app = Starlette(
        routes=[
            Route("/livez", lambda _: PlainTextResponse("ok")),
            Route("/readyz", readyz),
            openapi.route(OPERATIONS),
            *routes(OPERATIONS),
            *mlflow.routes(),
            *parts.entrance.routes,
            *PAGES,
            *parts.more,
        ],
        middleware=[
            Middleware(Guard, hosts=parts.hosts),
            Middleware(SignedIn, entrance=parts.entrance, refused=partial(_refused, sign_in=_sign_in(parts.entrance))),
        ],
        exception_handlers={**dict.fromkeys(KNOWN, on_error), HTTPException: _unknown},
        lifespan=lifespan,
    )
    app.state.shared = parts.state
    return app


def _sign_in(entrance: Entrance) -> str:
    """Return the address of the entrance's own page, "" if it has none."""
    return next((path for each in entrance.routes if (path := getattr(each, "path", "")) == "/sign-in"), "")


def _refused(request: Request, error: NotSignedIn, sign_in: str) -> Response:
    return site.refused(error, sign_in) if site.wants_page(request) else on_error(request, error)


def _unknown(request: Request, error: Exception) -> Response:
    """Answer for paths and methods that no route has."""
    if isinstance(error, HTTPException) and error.status_code == 404 and site.wants_page(request):
        return site.unknown(request)
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    return refusal(known.status_code, known.detail, "/api/v1/openapi.json describes the API")
