"""Runs the application on 127.0.0.1 for one user, in this process."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from assay.api.errors import RequestFailed
from assay.api.resources import RUNS
from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.local import LocalEntrance
from assay.server.guard.guard import LOOPBACK
from assay.server.index.feed import Feed, NamespaceFeeds
from assay.server.index.objects import KINDS, ObjectFeed, ObjectsOfIndex
from assay.server.index.runs import RunsOfIndex
from assay.server.pages import shown
from assay.server.rights import Rights
from assay.server.state import State

ADDRESS = "127.0.0.1"
#: New objects between two collections of garbage. Python's default is 700.
_COLLECTED = 50_000


def serve(kube: Kube, namespace: str, port: int, announce: Callable[[str], None], experiment: str = "") -> None:
    """Serve until the process is interrupted. ``announce`` gets each address that signs a browser in, once.

    The address leads to the page of ``experiment``, by default to the runs. ``port`` 0 takes any free one. Raises
    AssayError if the port is in use.
    """
    with _listening(port) as listener:
        chosen = listener.getsockname()[1]
        page = shown.query("", [("next", shown.path("n", namespace, "experiments", experiment) if experiment else "")])
        entrance = LocalEntrance(kube, namespace, chosen, lambda path: announce(_address(chosen, path) + page))
        rights = Rights()
        runs = RunsOfIndex(NamespaceFeeds(kube, RUNS, partial(Feed, kube)), rights)
        lists = {kind: NamespaceFeeds(kube, kind, partial(ObjectFeed, kube, kind)) for kind in KINDS}
        state = State(runs, ObjectsOfIndex(lists, rights))
        server = Server(configured(Parts(entrance, LOOPBACK, state)))
        announce(_address(chosen, entrance.path) + page)
        settle()
        server.run(sockets=[listener])


def settle() -> None:
    """Let garbage collection pass over what is loaded now: it would take most of the time of a search.

    Answers are many small objects that die with the request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED)


class Server(uvicorn.Server):
    """Ends the streams of events first when it shuts down: uvicorn would wait for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End everything."""
        if isinstance(self.config.app, Starlette):
            self.config.app.state.shared.streams.stop()
        await super().shutdown(sockets)


def configured(parts: Parts, around: Callable[[Starlette], ASGIApp] = lambda app: app) -> uvicorn.Config:
    """Return how uvicorn runs an application: it believes no header about who or where the client is.

    ``around`` returns a layer around the application.
    """
    return uvicorn.Config(
        around(create(parts)), proxy_headers=False, server_header=False, access_log=False, log_level="warning",
        timeout_graceful_shutdown=3,
    )  # fmt: skip


def _address(port: int, path: str) -> str:
    return f"http://{ADDRESS}:{port}{path}"


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()  # a browser that is opened now waits until the server answers
    except OSError as error:
        listener.close()
        raise RequestFailed(f"cannot listen on port {port}: {error.strerror}", hint="choose one with --port") from None
    return listener
