"""A slow line to a store, so that a test can act while something is being downloaded."""

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit

_PIECE = 1 << 16
_PAUSE_SECONDS = 0.01


class SlowLine:
    """Passes on what connections to `endpoint` bring: to the store at once, back in small pieces with pauses."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._host, self._port = address.hostname, address.port
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "SlowLine":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(_pass_on(reader, back, 0), _pass_on(there, writer, _PAUSE_SECONDS))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)
