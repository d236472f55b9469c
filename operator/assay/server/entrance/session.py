"""A session for people without a proxy: a pasted token, sealed into a cookie that scripts cannot read."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from assay.api.errors import AssayError
from assay.kube.bearer import ApiServer
from assay.server.answers import status_of
from assay.server.entrance.bearer import BearerEntrance, checked
from assay.server.entrance.sealing import COOKIE, Seal, names
from assay.server.person import NotSignedIn, Person

_LONGEST_FORM = 32_768
#: Takes only POST, so that no link on another site can end a session.
SIGN_OUT = "/sign-out"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in to Assay</title>
<main><h1>Sign in to Assay</h1><p role="alert">{problem}</p>
<form method="post" action="/sign-in"><label>Token of the Kubernetes API
<input name="token" type="password" autocomplete="off" required></label>
<button>Sign in</button></form>
<p>For example: <code>kubectl create token NAME</code>. The server keeps no token; your browser keeps it sealed.</p>
</main>
"""


class SessionEntrance(BearerEntrance):
    """Takes a token from the header, otherwise from the session cookie."""

    def __init__(
        self,
        server: ApiServer,
        seal: Seal,
        header: str = "authorization",
        stores: frozenset[str] = frozenset(),
        sign_out: str = "",
    ) -> None:
        super().__init__(server, header, stores, sign_out)
        self._seal = seal
        self.routes = (
            Route("/sign-in", self._page, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route(SIGN_OUT, self._sign_out, methods=["POST"]),
        )

    def person(self, request: Request) -> Person:
        """Return the holder of the token. Raises NotSignedIn."""
        if self._header in request.headers or COOKIE not in request.cookies:
            return super().person(request)
        token = self._seal.open(request.cookies)
        if not token:
            raise NotSignedIn("the session has ended", hint="sign in again at /sign-in")
        return self.holder(checked(token), SIGN_OUT)

    def _page(self, request: Request) -> Response:
        return HTMLResponse(_PAGE.format(problem=""))

    async def _sign_in(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST_FORM:
                return HTMLResponse(_PAGE.format(problem="The token is too long."), 413)
        try:
            token = checked(parse_qs(body.decode("ascii", "replace")).get("token", [""])[0])
            # The API server says whether it is one. Only then is there a session.
            await run_in_threadpool(self.holder(token).kube.whoami)
            cookies, seconds = self._seal.close(token)
        except (AssayError, ValueError) as error:
            known = isinstance(error, AssayError) and status_of(error) == 503
            problem = "The API server cannot be reached." if known else "The API server does not accept this token."
            return HTMLResponse(_PAGE.format(problem=problem), 503 if known else 401)
        answer = self._without_session(RedirectResponse("/", 303), set(names()) - set(cookies))
        for name, value in cookies.items():
            answer.set_cookie(name, value, seconds, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    def _sign_out(self, request: Request) -> Response:
        return self._without_session(RedirectResponse("/sign-in", 303), set(names()))

    def _without_session(self, answer: Response, ended: set[str]) -> Response:
        for name in sorted(ended):
            answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="strict")
        return answer
