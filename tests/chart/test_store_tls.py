"""A store behind TLS, with a certificate of one's own authority: the operator, its check and training pods trust it."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.conftest import Release
from tests.cluster import charting
from tests.cluster.local import LocalCluster
from tests.cluster.pki import Pki
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

CA = "store-ca"


class TlsFront:
    """Takes TLS connections at an address of this machine, and hands what is in them on to another one."""

    def __init__(self, address: str, target: str, context: ssl.SSLContext) -> None:
        self.host, self.port = target.rsplit(":", 1)
        self.loop = asyncio.new_event_loop()
        serving = asyncio.start_server(self._accept, address, 0, ssl=context)
        self.server = self.loop.run_until_complete(serving)
        self.endpoint = f"https://{address}:{self.server.sockets[0].getsockname()[1]}"
        self.connections = 0
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "TlsFront":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def _close(self) -> None:
        self.server.close()
        open_ones = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(self.host, int(self.port))
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # whoever is told of it is the other end
    finally:
        writer.close()


@pytest.fixture(scope="module")
def pki(chart_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority that nobody trusts by default, and the store's certificate."""
    found = Pki(tmp_path_factory.mktemp("tls") / "pki")
    found.create_authority()
    found.issue("store", "store", addresses=(f"IP:{chart_cluster.spec.subnets.host}",))
    return found


@pytest.fixture(scope="module")
def front(chart_cluster: LocalCluster, pki: Pki) -> Iterator[TlsFront]:
    """The cluster's store, behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki.certificate("store"), pki.key("store"))
    target = chart_cluster.store.endpoint.removeprefix("http://")
    with TlsFront(chart_cluster.spec.subnets.host, target, context) as front:
        yield front


@pytest.fixture(scope="module")
def release(bare_release: Release, front: TlsFront, pki: Pki) -> Release:
    """The chart with that store, and the authority in a Secret."""
    bare_release.prepare()
    _trust(bare_release, pki.certificate("ca"))
    bare_release.install(store={"endpoint": front.endpoint, "existingSecret": charting.SECRET, "caSecret": CA})
    return bare_release


def _trust(release: Release, certificate: Path) -> None:
    release.kubectl("create", "secret", "generic", CA, f"--from-file=ca.crt={certificate}")


def test_the_operator_is_ready_and_uses_only_tls(release: Release, front: TlsFront) -> None:
    assert "store: ok" in release.readiness()
    assert front.connections > 0


def test_training_pods_record_through_it(release: Release, objects: Objects) -> None:
    script = "artifacts.joinpath('a').write_text('a'); log(step=1, score=1.0)"
    objects.apply(experiment("secure", script))
    objects.wait_phase("experiment", "secure", "Succeeded", seconds=90)
    (run,) = objects.all("runs")
    assert run["status"]["record"]["complete"]


def test_helm_test_passes(release: Release, front: TlsFront) -> None:
    said = release.helm.test(charting.NAME, timeout=120, logs=True)["logs"]
    assert f"store {front.endpoint}: bucket assay answers" in said
