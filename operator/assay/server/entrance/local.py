"""`assay ui`: one user, on one machine, with a kubeconfig.

Other users and pages on the machine can reach the port, so the address that `assay ui` prints has a secret. It is
exchanged once for a cookie that only this browser has.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from assay.kube.sync import Kube
from assay.server.answers import refusal
from assay.server.person import NotSignedIn, Person


class LocalEntrance:
    """The entrance of `assay ui`. ``renewed`` is called with the next path with a secret, after one was used."""

    def __init__(self, kube: Kube, namespace: str, port: int, renewed: Callable[[str], None] = lambda _: None) -> None:
        self._kube, self._namespace, self._renewed = kube, namespace, renewed
        # Browsers send the cookies of all ports of a host to each of them.
        self._cookie = f"assay-ui-{port}"
        self._session = secrets.token_urlsafe(32)
        self._secret = secrets.token_urlsafe(32)
        self.routes: Sequence[BaseRoute] = [Route("/enter/{secret}", self._enter)]

    @property
    def path(self) -> str:
        """The path that signs a browser in, once."""
        return f"/enter/{self._secret}"

    def person(self, request: Request) -> Person:
        """Return the user of the kubeconfig. Raises NotSignedIn without the cookie."""
        if not _same(request.cookies.get(self._cookie, ""), self._session):
            raise NotSignedIn(
                "this browser is not signed in", hint="open the address that `assay ui` printed; each is used once"
            )
        return Person(namespace_option=self._namespace, client=self._kube, key=self._session, own_machine=True)

    def _enter(self, request: Request) -> Response:
        page = escape(request.query_params.get("next", "/"), quote=True)
        if not page.startswith("/") or page.startswith("//") or "\\" in page:
            page = "/"
        if not _same(request.path_params["secret"], self._secret):
            if not _same(request.cookies.get(self._cookie, ""), self._session):
                return refusal(403, "this address was used already", "`assay ui` printed a new one in its terminal")
            return _onwards(page)
        self._secret = secrets.token_urlsafe(32)
        self._renewed(self.path)
        answer = _onwards(page)
        answer.set_cookie(self._cookie, self._session, path="/", httponly=True, samesite="strict")
        return answer


def _onwards(page: str) -> Response:
    """Lead the browser on from a page of our own: after a redirect, a strict cookie is not sent."""
    return HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={page}">'
        f'<title>Assay</title><a href="{page}">Continue</a>'
    )


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())
