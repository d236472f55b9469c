"""The application: routes, errors and limits."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler as _Respond
from aiohttp.typedefs import Middleware

from assay.recorder.collectors.mlflow.errors import MlflowError, invalid
from assay.recorder.collectors.mlflow.handlers import artifacts, experiments, info, metrics, models, registered, runs
from assay.recorder.collectors.mlflow.handlers.requests import TRACKING, Handler, Route, answer, read
from assay.recorder.collectors.mlflow.tracking import Tracking

_RESOURCES = (experiments, runs, metrics, models, artifacts, registered, info)
_VERSIONS = ("2.0", "3.0")  # newer clients ask for some paths below 3.0

ROUTES: tuple[Route, ...] = tuple(route for resource in _RESOURCES for route in resource.ROUTES)


def application(tracking: Tracking, report: Callable[[str], None]) -> web.Application:
    """The application for this data. `report` gets failures of our own."""
    app = web.Application(client_max_size=tracking.limits.request_bytes, middlewares=[_errors(report)])
    app[TRACKING] = tracking
    for version in _VERSIONS:
        for method, path, handler in ROUTES:
            app.router.add_route(method, f"/api/{version}{path}", _json(handler))
        for method, respond in artifacts.FILE_ROUTES:
            app.router.add_route(method, f"/api/{version}{artifacts.FILE_PATH}", respond)
    app.router.add_get("/health", _health)
    app.router.add_get("/version", _version)
    return app


def _json(handler: Handler) -> _Respond:
    async def respond(request: web.Request) -> web.StreamResponse:
        return answer(await handler(await read(request)))

    return respond


async def _health(_: web.Request) -> web.StreamResponse:
    return web.Response(text="OK")


async def _version(_: web.Request) -> web.StreamResponse:
    return web.Response(text=info.VERSION)


def _errors(report: Callable[[str], None]) -> Middleware:
    @web.middleware
    async def translate(request: web.Request, handler: _Respond) -> web.StreamResponse:
        try:
            return await handler(request)
        except MlflowError as error:
            return _answer(error)
        except web.HTTPRequestEntityTooLarge:
            most = request.app[TRACKING].limits.request_bytes
            return _answer(invalid(f"The request is larger than {most} bytes"))
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return _answer(info.not_there(request.method, request.path))
        except ConnectionError:  # the client has gone
            raise
        except Exception as error:
            report(f"{request.method} {request.path[:200]}: {type(error).__name__}: {error}"[:500])
            return _answer(MlflowError("INTERNAL_ERROR", f"the recorder failed: {type(error).__name__}: {error}"[:500]))

    return translate


def _answer(error: MlflowError) -> web.Response:
    return answer({"error_code": error.code, "message": error.message}, error.status)
