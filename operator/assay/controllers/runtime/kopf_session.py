"""The HTTP session of kopf: its own, but what is nested too deeply is cut before kopf parses it.

Otherwise, whoever may create an object of Assay could end the operator with it: kopf stops at what it cannot parse.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf
from aiohttp.connector import Connection

from assay.kube.shallow import loads, shallow


@dataclass(frozen=True, kw_only=True)
class Session(kopf.AiohttpSession):
    """A session that equals others with its credentials: kopf does not try again with those that were refused."""

    credentials: kopf.ConnectionInfo
    aiohttp_session: aiohttp.ClientSession = field(compare=False)


def of(info: kopf.ConnectionInfo) -> Session:
    """Return a session that connects as kopf would. Call it in the event loop."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        response_class=_Response,
    )
    return Session(
        credentials=info,
        server=info.server,
        priority=info.priority,
        default_namespace=info.default_namespace,
        expiration=info.expiration,
        aiohttp_session=session,
    )


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        found = await super().start(connection)
        self.content = _Lines(self.content)  # type: ignore[assignment] # what kopf uses of it
        return found

    async def json(self, **_: Any) -> Any:
        """Return the JSON of the body. Raises ValueError."""
        return loads(await self.read())


class _Lines:
    """A stream whose lines are JSON, as those of a watch."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines. An unfinished last line is yielded as it is."""
        rest: list[bytes] = []
        async for data in self._stream.iter_chunked(size):
            *whole, last = data.split(b"\n")
            for line in whole:
                yield shallow(b"".join([*rest, line])) + b"\n"
                rest.clear()
            rest.append(last)
        if any(rest):
            yield b"".join(rest)
