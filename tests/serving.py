"""Applications of the server on a port of their own, in a thread."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.index.feed import Feed
from assay.server.index.runs import RunsOfIndex
from assay.server.local import Server
from assay.server.rights import Rights
from assay.server.state import State
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, log_level="warning", proxy_headers=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for("the server starts", lambda: server.started, seconds=30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@contextmanager
def indexed(cluster: LocalCluster) -> Iterator[Feed]:
    """Run the index of the runs of a cluster; gives it complete."""
    feed = Feed(Kube(str(cluster.kubeconfig)))
    feed.start()
    try:
        wait_for("the index to be complete", lambda: feed.synced, seconds=60, saw=lambda: feed.problem)
        yield feed
    finally:
        feed.stop()


@contextmanager
def index_served(cluster: LocalCluster, feed: Feed) -> Iterator[str]:
    """Serve the index of a cluster to whoever has a token; gives the address."""
    entrance = BearerEntrance(ApiServer(str(cluster.kubeconfig)))
    with served(create(Parts(entrance, state=State(RunsOfIndex(lambda _: feed, Rights()))))) as address:
        yield address
