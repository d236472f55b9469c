"""The layer that knows the user of every request. Paths without a user are listed, everything else needs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from assay.server.person import NotSignedIn, Person

#: Paths that need no user, besides those of the entrance itself: they answer the same to everybody.
OPEN = frozenset({"/livez", "/readyz", "/api/v1/openapi.json"})
OPEN_FOLDERS = ("/static/",)


class Entrance(Protocol):
    """One way to know who makes a request."""

    #: Routes of the entrance itself. They are reached without a user.
    routes: Sequence[BaseRoute]

    def person(self, request: Request) -> Person:
        """Return the user. Does no I/O. Raises NotSignedIn."""


class SignedIn:
    """Adds the person to each request, or answers with ``refused``."""

    def __init__(self, app: ASGIApp, entrance: Entrance, refused: Callable[[Request, NotSignedIn], Response]) -> None:
        self._app, self._entrance, self._refused = app, entrance, refused
        self._own = frozenset(str(getattr(route, "path", "")).partition("{")[0] for route in entrance.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            request = Request(scope)
            try:
                scope["assay.person"] = self._entrance.person(request)
            except NotSignedIn as error:
                if not self._is_open(scope["path"]):
                    await self._refused(request, error)(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        own = any(path == each or (each.endswith("/") and path.startswith(each)) for each in self._own if each != "/")
        return path in OPEN or path.startswith(OPEN_FOLDERS) or own
