"""The Deployment: each request has the user's token of the Kubernetes API, from a proxy or from the session cookie.

The server does not check a token: the API server does, at each request that is made with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from assay.kube.bearer import ApiServer
from assay.server.person import NotSignedIn, Person, key_of

#: RFC 6750, section 2.1. Nothing else may end up in a header of a request to the API server.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_LONGEST = 16_384


def checked(token: str) -> str:
    """Return a token without the surrounding space. Raises NotSignedIn if it is malformed."""
    token = token.strip()
    if not _TOKEN.fullmatch(token) or len(token) > _LONGEST:
        raise NotSignedIn("the token is malformed", hint="send a token of the Kubernetes API as Authorization: Bearer")
    return token


class BearerEntrance:
    """``header`` has the token: Authorization, or the header in which a proxy passes it on.

    ``sign_out`` is the address at which the proxy ends the user's session.
    """

    def __init__(
        self,
        server: ApiServer,
        header: str = "authorization",
        stores: frozenset[str] = frozenset(),
        sign_out: str = "",
    ) -> None:
        self._server, self._header, self._stores, self._sign_out_at = server, header.lower(), stores, sign_out
        self.routes: Sequence[BaseRoute] = ()

    def person(self, request: Request) -> Person:
        """Return the holder of the token. Raises NotSignedIn."""
        return self.holder(self._token(request), self._sign_out_at)

    def holder(self, token: str, sign_out: str = "") -> Person:
        """Return the holder of a well-formed token."""
        return Person(client=self._server.as_bearer(token), key=key_of(token), stores=self._stores, sign_out=sign_out)

    def _token(self, request: Request) -> str:
        values = request.headers.getlist(self._header)
        if len(values) > 1:
            raise NotSignedIn(f"the header {self._header} is repeated")
        if not values:
            raise NotSignedIn("this server needs a token of the Kubernetes API", hint="sign in, or send it as Bearer")
        scheme, _, rest = values[0].strip().partition(" ")
        if scheme.lower() == "bearer":
            return checked(rest)
        if self._header == "authorization":
            raise NotSignedIn("the header authorization has no Bearer token")
        return checked(values[0])
