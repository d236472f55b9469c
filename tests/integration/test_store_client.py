"""The client against real S3-compatible servers."""

import io
import os
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from assay.store import client as client_module
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore
from assay.store.errors import (
    AlreadyExists,
    NotFound,
    SourceError,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    TooLarge,
)
from tests.ports import free_port
from tests.s3 import S3Server, minio_server

pytestmark = pytest.mark.integration


@pytest.fixture
def prefix() -> str:
    return f"client/{uuid.uuid4()}"


def test_write_read_list_delete(s3: S3Server, prefix: str) -> None:
    store = s3.store()
    content = {f"{prefix}/b": b"22", f"{prefix}/a/x": b"1", f"{prefix}/a/empty": b""}
    for key, data in content.items():
        store.put_bytes(key, data)
    assert {key: store.get_bytes(key, 10) for key in content} == content
    assert [tuple(info) for info in store.list(prefix + "/")] == [
        (f"{prefix}/a/empty", 0),
        (f"{prefix}/a/x", 1),
        (f"{prefix}/b", 2),
    ]
    assert store.stat(f"{prefix}/b").size == 2
    store.put_bytes(f"{prefix}/b", b"333")
    assert store.get_bytes(f"{prefix}/b", 10) == b"333"
    store.delete(f"{prefix}/b")
    store.delete(f"{prefix}/b")
    with pytest.raises(NotFound):
        store.stat(f"{prefix}/b")


@pytest.mark.parametrize(
    "name", ["with space", "100%25+1", "ümläut/日本", ".hidden", "a'b\"c<>&", "#?=&;", "a+b", "~@!$()*,"]
)
def test_odd_keys(s3: S3Server, prefix: str, name: str) -> None:
    store = s3.store()
    store.put_bytes(f"{prefix}/{name}", name.encode())
    assert store.get_bytes(f"{prefix}/{name}", 100) == name.encode()
    assert [info.key for info in store.list(prefix)] == [f"{prefix}/{name}"]


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1, 30 << 20])
def test_files_of_all_sizes_are_streamed_and_hashed(s3: S3Server, prefix: str, size: int) -> None:
    store, data = s3.store(), os.urandom(size)
    sent = store.put_file(f"{prefix}/file", io.BytesIO(data), size)
    assert sent == store.digest(f"{prefix}/file")
    assert sent[0] == size


def test_a_list_of_more_than_a_page(s3: S3Server, prefix: str) -> None:
    store = s3.store()
    keys = [f"{prefix}/{number:04d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_bytes(key, b""), keys))
    assert [info.key for info in store.list(prefix + "/")] == keys


def test_a_file_that_becomes_shorter_leaves_no_object(s3: S3Server, prefix: str) -> None:
    store = s3.store()
    with pytest.raises(SourceError, match="became shorter"):
        store.put_file(f"{prefix}/file", io.BytesIO(bytes(20 << 20)), 30 << 20)
    with pytest.raises(NotFound):
        store.stat(f"{prefix}/file")


def test_no_more_is_read_than_asked_for(s3: S3Server, prefix: str) -> None:
    store = s3.store()
    store.put_bytes(f"{prefix}/big", bytes(5 << 20))
    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        store.get_bytes(f"{prefix}/big", 1000)
    assert len(store.get_bytes(f"{prefix}/big", 5 << 20)) == 5 << 20


def test_create_never_overwrites(minio: S3Server, prefix: str) -> None:
    store = minio.store()
    store.create(f"{prefix}/a b+ü", b"first")
    with pytest.raises(AlreadyExists, match="the key already exists"):
        store.create(f"{prefix}/a b+ü", b"second")
    assert store.get_bytes(f"{prefix}/a b+ü", 10) == b"first"


def test_only_one_of_many_creators_succeeds(minio: S3Server, prefix: str) -> None:
    store = minio.store()

    def create(number: int) -> int | None:
        try:
            store.create(f"{prefix}/race", str(number).encode())
        except (AlreadyExists, StoreUnavailable):
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(create, range(32)) if number is not None]
    assert [str(number).encode() for number in winners] == [store.get_bytes(f"{prefix}/race", 10)]


def test_the_bucket_is_made_once(s3: S3Server) -> None:
    store = ObjectStore(s3.config(bucket=f"b-{uuid.uuid4()}"))
    with pytest.raises(NotFound):
        store.put_bytes("x", b"")
    store.ensure_bucket()
    store.ensure_bucket()
    store.put_bytes("x", b"")


@pytest.mark.parametrize("change", [{"access_key": "nobody-key"}, {"secret_key": "wrong-secret"}])
def test_unknown_credentials_are_denied_and_not_shown(s3: S3Server, change: dict[str, str]) -> None:
    with pytest.raises(StoreDenied) as caught:
        ObjectStore(s3.config(**change)).put_bytes("x", b"")
    assert not any(secret in str(caught.value) for secret in (*change.values(), s3.secret_key))
    assert s3.endpoint in str(caught.value)
    assert "assay/x" in str(caught.value)


def unreachable() -> str:
    return f"http://127.0.0.1:{free_port()}"


def unknown() -> str:
    return "http://store.invalid"


@pytest.mark.parametrize("endpoint", [unreachable, unknown])
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put_bytes("k", b""),
        lambda store: store.get_bytes("k", 1),
        lambda store: store.create("k", b""),
        lambda store: store.put_file("k", io.BytesIO(bytes(9 << 20)), 9 << 20),
        lambda store: list(store.list("k")),
    ],
)
def test_an_unreachable_store_is_reported_as_unavailable(
    minio: S3Server, endpoint: Callable[[], str], call: Callable[[ObjectStore], None]
) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        call(ObjectStore(minio.config(endpoint=endpoint())))
    assert "\n" not in str(caught.value)
    assert "X-Amz" not in str(caught.value)
    assert "0x" not in str(caught.value)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Start a server that gives one fixed answer; an empty one never answers."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            held = []
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if answer:
                    connection.recv(65536)
                    # Said, so that no client sends its next request into a connection that is being closed.
                    connection.sendall(answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                    # Closing with something unread would reset the connection, and take the answer along.
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(5)
                    with suppress(OSError):
                        while connection.recv(65536):
                            pass
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        with closing(listener):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", StoreUnavailable),
        (b"HTTP/1.1 502 x\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops", StoreUnavailable),
        (b"HTTP/1.1 429 x\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops", StoreUnavailable),
        (b"HTTP/1.1 403 x\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops", StoreDenied),
        (b"HTTP/1.1 400 x\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops", StoreError),
        (b"HTTP/1.1 403 x\r\nContent-Type: application/xml\r\nContent-Length: 4\r\n\r\noops", StoreError),
        (b"", StoreUnavailable),
        (b"nonsense\r\n\r\n", StoreUnavailable),
    ],
)
def test_invalid_store_answers_raise_distinct_errors(
    minio: S3Server,
    answering: Callable[[bytes], str],
    answer: bytes,
    error: type[StoreError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.3)
    store = ObjectStore(minio.config(endpoint=answering(answer)))
    with pytest.raises(error):
        store.put_bytes("k", b"")
    with pytest.raises(error):
        store.create("k", b"")


def test_tls_with_a_private_certificate_authority(tmp_path: Path) -> None:
    """Trusted when the certificate is given, as a file or as text; refused when it is not."""
    server = minio_server(tmp_path / "minio")
    certificates = tmp_path / "certs"
    certificates.mkdir()
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(certificates / "private.key"), "-out", str(certificates / "public.crt"),
            "-days", "2", "-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    server.command += ["--certs-dir", str(certificates)]
    server.endpoint = server.endpoint.replace("http:", "https:")
    server.ca_file = str(certificates / "public.crt")
    server.access_key, server.secret_key = server.root
    pem = (certificates / "public.crt").read_text()
    try:
        server.start()
        for trust in ({"ca_file": server.ca_file}, {"ca_pem": pem}):
            store = server.store(**trust)
            data = os.urandom(9 << 20)
            assert store.put_file("f", io.BytesIO(data), len(data)) == store.digest("f")
            store.create(f"once/{list(trust)}", b"x")
        with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
            ObjectStore(server.config()).put_bytes("f", b"")
        assert ssl.create_default_context().check_hostname
    finally:
        server.kill()


async def test_the_asynchronous_facade_is_bounded(minio: S3Server, prefix: str) -> None:
    import asyncio

    store = AsyncStore(minio.store(), workers=2)
    busy, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> bytes:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        store.blocking.put_bytes(f"{prefix}/{number}", b"x")
        with lock:
            busy -= 1
        return store.blocking.get_bytes(f"{prefix}/{number}", 1)

    assert await asyncio.gather(*(store.run(work, number) for number in range(20))) == [b"x"] * 20
    assert most <= 2
    with pytest.raises(NotFound):
        await store.run(store.blocking.get_bytes, f"{prefix}/none", limit=1)
    store.close()
