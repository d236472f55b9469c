"""The outermost layer: refuses requests for other hosts and from other sites, and adds the security headers.

Cross-site writes are refused without CSRF tokens, as Go's ``http.CrossOriginProtection`` does: browsers state where a
request comes from, and pages cannot change what they state.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.server.answers import explained, refusal

logger = logging.getLogger(__name__)

#: What pages may load. There is no inline script or style, and no script makes HTML from strings without a policy.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types assay",
    )
)
#: A response may set its own value of the first two: artifacts are sandboxed, static files are cached.
_DEFAULTS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-store",
}
_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    # Not no-referrer: browsers would send `Origin: null` with the forms of our own pages.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Headers that must not be repeated: a proxy and this server could each read a different one.
_SINGLE: Final = (
    "authorization", "host", "origin", "sec-fetch-site", "content-length", "transfer-encoding"
)  # fmt: skip
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """``hosts`` are the host names, without ports, that the server answers for; any if empty."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULTS.items():
                    headers.setdefault(name, value)
                for name, value in _ALWAYS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        problem = _repeated(headers) or self._foreign_host(headers) or cross_site(scope["method"], headers)
        if problem:
            status, message = problem
            await refusal(status, message)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            logger.exception("cannot answer %s %s", scope["method"], scope["path"])
            await refusal(*explained(error))(scope, receive, send_with_headers)

    def _foreign_host(self, headers: Headers) -> tuple[int, str] | None:
        """Refuse a host name that is not ours: a page that rebinds its own name to this address has such a one."""
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if self._hosts and name not in self._hosts:
            return 421, f"this server does not answer for the host {host[:200]!r}"
        return None


def _repeated(headers: Headers) -> tuple[int, str] | None:
    for name in _SINGLE:
        if len(headers.getlist(name)) > 1:
            return 400, f"the header {name} is repeated"
    return None


def cross_site(method: str, headers: Headers) -> tuple[int, str] | None:
    """Return the refusal of a write that another site's page started, None if it is fine."""
    if method in _SAFE:
        return None
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        fine = site in ("same-origin", "none")
    else:
        # Programs send neither header, and no cookie that they were not given.
        fine = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
    return None if fine else (403, "this request comes from another site's page")
