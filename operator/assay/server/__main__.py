"""The Deployment `assay-server`: `python -m assay.server`. Its service account may list and watch, no more."""

from __future__ import annotations

import gc

# What modules define stays as long as the process. Collections during imports find nothing, and take a third of them.
if __name__ == "__main__":
    gc.disable()

import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from assay.api.errors import AssayError
from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server import metrics
from assay.server.app import Parts
from assay.server.entrance.sealing import Seal
from assay.server.entrance.session import SessionEntrance
from assay.server.index.feed import Feed, W
from assay.server.index.objects import KINDS, ObjectFeed, ObjectsOfIndex
from assay.server.index.runs import RunsOfIndex
from assay.server.index.watched import Watched
from assay.server.local import Server, configured, settle
from assay.server.rights import Rights
from assay.server.state import State
from assay.store.config import ConfigError, is_endpoint

_SHORTEST_KEY = 32


@dataclass(frozen=True)
class Settings:
    """The environment of the server.

    ``hosts``: the host names that it answers for, any if empty. ``stores``: the stores that it may connect to, any if
    empty. ``sign_out``: where a proxy ends sessions, "" without one. ``session_key``: seals session cookies; all
    replicas need the same one. ``namespaces`` have an index, all if empty.
    """

    port: int
    metrics_port: int
    hosts: tuple[str, ...]
    stores: frozenset[str]
    token_header: str
    sign_out: str
    session_key: bytes
    namespaces: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the ASSAY_SERVER_* variables. Raises ConfigError, which names the variable."""
        stores = _listed(environment, "ASSAY_SERVER_STORES")
        for store in stores:
            if not is_endpoint(store):
                raise ConfigError(f"ASSAY_SERVER_STORES has {store!r}: it must be like https://store.example.com:9000")
        return cls(
            port=_port(environment, "ASSAY_SERVER_PORT", "8080"),
            metrics_port=_port(environment, "ASSAY_SERVER_METRICS_PORT", "9095"),
            hosts=_listed(environment, "ASSAY_SERVER_HOSTS"),
            stores=frozenset(store.rstrip("/") for store in stores),
            token_header=environment.get("ASSAY_SERVER_TOKEN_HEADER", "").strip() or "authorization",
            sign_out=_sign_out(environment.get("ASSAY_SERVER_SIGN_OUT", "").strip()),
            session_key=_key(environment.get("ASSAY_SERVER_SESSION_KEY_FILE", "")),
            namespaces=_listed(environment, "ASSAY_SERVER_NAMESPACES"),
        )


def _port(environment: Mapping[str, str], name: str, default: str) -> int:
    port = environment.get(name, default)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{name} is {port!r}: it must be a port")
    return int(port)


def _listed(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in environment.get(name, "").split(","))))


def _sign_out(address: str) -> str:
    """Return the address if a page may link to it."""
    if address and not address.startswith(("/", "https://")):
        raise ConfigError(f"ASSAY_SERVER_SIGN_OUT is {address!r}: it must begin with / or https://")
    return address


def _key(path: str) -> bytes:
    """Return the key of sessions. Without a file, sessions end with the process, and there can be one replica."""
    if not path or not Path(path).exists():
        return secrets.token_bytes(_SHORTEST_KEY)
    found = Path(path).read_bytes().strip()
    if len(found) < _SHORTEST_KEY:
        raise ConfigError(f"ASSAY_SERVER_SESSION_KEY_FILE: {path} has less than {_SHORTEST_KEY} bytes")
    return found


def parts(settings: Settings) -> Parts:
    """Return what the application is made of. Raises AssayError."""
    kube = Kube()
    indexed = settings.namespaces or ("",)
    feeds = {namespace: Feed(kube, namespace) for namespace in indexed}
    objects = {kind: {namespace: ObjectFeed(kube, kind, namespace) for namespace in indexed} for kind in KINDS}
    every: list[Watched[Any]] = [*feeds.values(), *(feed for of_kind in objects.values() for feed in of_kind.values())]
    metrics.observe(feeds.values(), every)
    seal = Seal(settings.session_key)
    entrance = SessionEntrance(ApiServer(), seal, settings.token_header, settings.stores, settings.sign_out)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        for feed in every:
            feed.start()
        try:
            yield
        finally:
            for feed in every:
                feed.stop()

    def ready() -> str:
        # Of the other kinds the API server answers as quickly as it can list them.
        return "; ".join(filter(None, (feed.trouble for feed in feeds.values())))

    # Namespaces without a feed are read from the API server.
    rights = Rights()
    lists = ObjectsOfIndex({kind: partial(_of, of_kind) for kind, of_kind in objects.items()}, rights)
    state = State(RunsOfIndex(partial(_of, feeds), rights), lists)
    return Parts(entrance, settings.hosts, state, ready=ready, running=running)


def _of(feeds: Mapping[str, W], namespace: str) -> W | None:
    """Return the feed that has a namespace."""
    return feeds.get("") or feeds.get(namespace)


def main() -> int:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.from_environment(os.environ)
        application = configured(parts(settings), metrics.Measured)
        start_http_server(settings.metrics_port)
    except (ConfigError, AssayError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    application.host, application.port = "0.0.0.0", settings.port  # noqa: S104 - a pod of its own
    settle()
    Server(application).run()
    return 0


if __name__ == "__main__":
    gc.enable()
    sys.exit(main())
