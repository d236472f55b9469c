"""Listens on the pod's localhost, and serves the application in its own thread.

Listening costs a socket. The application, with aiohttp, is loaded when the first client connects; until then the
connection waits in the socket's backlog.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.recorder.collectors.mlflow.tracking import Tracking

HOST = "127.0.0.1"
_BACKLOG = 256


class Server:
    """The thread of the endpoint. `failure` is set when it cannot serve."""

    def __init__(self, port: int, build: Callable[[], Tracking], report: Callable[[str], None]) -> None:
        """Bind the port; 0 chooses one. `build` opens the data when the first client connects. Raises OSError."""
        self._socket = socket.create_server((HOST, port), backlog=_BACKLOG)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.tracking: Tracking | None = None
        self.failure = ""
        self._build = build
        self._report = report
        self._wake, self._woken = socket.socketpair()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer the requests that have arrived, and stop."""
        self._ending.set()
        self._wake.send(b"x")
        self._thread.join()
        for each in (self._socket, self._wake, self._woken):
            each.close()
        if self.tracking:
            self.tracking.close()

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                selector.select()
            if not self._ending.is_set():
                import asyncio

                asyncio.run(self._serve())
        except Exception as error:
            self.failure = f"the MLflow endpoint failed: {type(error).__name__}: {error}"
            self._report(self.failure)
            self._socket.close()  # clients get an error instead of silence

    async def _serve(self) -> None:
        import asyncio

        from aiohttp import web

        from assay.recorder.collectors.mlflow.app import application

        self.tracking = self._build()
        runner = web.AppRunner(
            application(self.tracking, self._report), access_log=None, handle_signals=False, shutdown_timeout=2.0
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket).start()
            woken = asyncio.Event()
            asyncio.get_running_loop().add_reader(self._woken, woken.set)
            await woken.wait()
        finally:
            with suppress(OSError):
                asyncio.get_running_loop().remove_reader(self._woken)
            await runner.cleanup()
