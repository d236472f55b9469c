"""Serves ``/livez``, ``/readyz`` and ``/metrics`` from the event loop that reconciles."""

from collections.abc import Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from assay.controllers import metrics
from assay.controllers.scrapers import Scrapers
from assay.store.errors import StoreDenied, StoreUnavailable

#: The store operations without which no run can begin or end.
_NEEDED = {"open_record", "issue_run_credentials", "close_record", "ObjectStore.ensure_bucket"}


class Health:
    """A small HTTP server. ``checks`` maps the name of each check to an error message, or to "" if it passes.

    ``scrapers`` decides who may read the metrics; None: everybody.
    """

    def __init__(self, port: int, scrapers: Scrapers | None = None) -> None:
        self._port = port
        self._scrapers = scrapers
        self._runner: web.AppRunner | None = None
        self.checks: dict[str, str] = {}

    def store_answered(self, operation: str, error: BaseException | None) -> None:
        """Note the result of a store operation. Only operations that every run needs count. Thread-safe."""
        if operation not in _NEEDED or "store" not in self.checks:
            return
        if error is None:
            self.checks["store"] = ""
        elif isinstance(error, StoreUnavailable | StoreDenied):
            self.checks["store"] = str(error)

    async def start(self) -> None:
        """Listen on all addresses, unless the port is 0."""
        if not self._port:
            return
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._scrapers is not None:
            await self._scrapers.close()

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        ready = bool(self.checks) and not any(self.checks.values())
        return web.Response(text=_told(self.checks), status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._scrapers is not None:
            answer = await self._scrapers.judge(request.headers.get("Authorization", ""))
            if answer.why:
                return web.Response(text=f"{answer.why}\n", status=answer.status)
        for name, wrong in self.checks.items():
            metrics.READY.labels(name).set(not wrong)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _told(checks: Mapping[str, str]) -> str:
    return "".join(f"{name}: {wrong or 'ok'}\n" for name, wrong in checks.items()) or "starting\n"
