"""What `helm test` says of an installation: of its operators, asked over HTTP, and of its store."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assay.controllers import checkup

pytestmark = pytest.mark.unit

WORKS = "lease: ok\nobjects: ok\nstore: ok\npolicies: ok\n"
WAITS = "lease: ok\n"
Operator = Callable[[str], int]


@pytest.fixture
def operator() -> Iterator[Operator]:
    """A function that has an operator say something at /readyz; returns its port."""
    servers = []

    def start(said: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/readyz" else 404)
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_working_operator_is_reported(operator: Operator) -> None:
    assert checkup.check_operators("127.0.0.1", operator(WORKS)) == [
        "operator 127.0.0.1: lease, objects, store, policies ok"
    ]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (WORKS.replace("store: ok", "store: no route"), "the operator at 127.0.0.1 is not ready: store: no route"),
        ("starting\n", "the operator at 127.0.0.1 is not ready: starting: not yet"),
        (WAITS, "no operator leads: all are waiting for the Lease"),
    ],
)
def test_a_failing_operator_is_reported_with_the_reason(operator: Operator, said: str, fault: str) -> None:
    with pytest.raises(checkup.Fault, match=fault):
        checkup.check_operators("127.0.0.1", operator(said))


def test_a_missing_operator_is_reported() -> None:
    with pytest.raises(checkup.Fault, match=r"no operator found at nobody\.invalid"):
        checkup.check_operators("nobody.invalid", 9095)
    with pytest.raises(checkup.Fault, match=r"the operator at 127\.0\.0\.1 does not answer"):
        checkup.check_operators("127.0.0.1", 1)


def test_a_store_that_does_not_answer() -> None:
    environment = {"ENDPOINT": "http://127.0.0.1:1", "ACCESS_KEY": "key", "SECRET_KEY": "hidden"}
    with pytest.raises(checkup.Fault, match=r"the store does not work: http://127\.0\.0\.1:1") as caught:
        checkup.check_store({f"ASSAY_STORE_{name}": value for name, value in environment.items()})
    assert "hidden" not in str(caught.value)
    with pytest.raises(checkup.Fault, match="the store does not work: ASSAY_STORE_ENDPOINT is not set"):
        checkup.check_store({})


def test_the_last_fault_is_reported(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkup.check, "__defaults__", (0.0,))
    assert checkup.main([f"127.0.0.1:{operator(WAITS)}"]) == 1
    assert capsys.readouterr().err.startswith("no operator leads")


@pytest.mark.parametrize("argv", [[], ["a"], ["a:b"], ["a:1", "b:1"]])
def test_invalid_arguments_print_the_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert checkup.main(argv) == 2
    assert "usage" in capsys.readouterr().err
