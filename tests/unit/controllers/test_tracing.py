"""Traces: sent to a real receiver of OTLP over HTTP when they are asked for, and otherwise not even imported."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.controllers import tracing
from assay.controllers.runtime.queue import Key, Requeue
from assay.store.aio import AsyncStore
from assay.store.errors import NotFound, StoreUnavailable
from tests.otlp import ERROR, Receiver

pytestmark = pytest.mark.unit

KEY = Key("Run", "ml", "digits-0")
OPERATOR = Path(__file__).resolve().parents[3] / "operator"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing.start()
        yield receiver
        tracing.stop()


def answers(key: str) -> bytes:
    return key.encode()


def fails(error: Exception) -> None:
    raise error


async def test_api_and_store_spans_are_children_of_the_reconcile(receiver: Receiver) -> None:
    store = AsyncStore(None, 1, tracing.store_operation)  # type: ignore[arg-type]
    with tracing.reconcile(KEY, "u-1"):
        with tracing.request("GET", "/apis/batch/v1/namespaces/ml/jobs/digits-0"):
            await asyncio.sleep(0)
        await store.run(answers, "runs/ml")
    store.close()
    tracing.stop()
    spans = {span.name: span for span in receiver.spans()}
    parent = spans["reconcile Run"]
    assert receiver.attributes(parent) == {
        "k8s.namespace.name": "ml",
        "assay.kind": "Run",
        "assay.name": "digits-0",
        "assay.uid": "u-1",
        "assay.outcome": "done",
    }
    children = {name for name, span in spans.items() if span.parent_span_id == parent.span_id}
    assert children == {"GET", "store answers"}
    assert receiver.attributes(spans["GET"])["url.path"] == "/apis/batch/v1/namespaces/ml/jobs/digits-0"
    assert "runs/ml" not in str(spans["store answers"]), "what is asked for is nobody's business"
    assert receiver.resource()["service.name"] == "assay-operator"


@pytest.mark.parametrize(
    ("error", "outcome", "is_error"),
    [(Requeue(2.0, "its pods are still stopping"), "again", False), (StoreUnavailable("no answer"), "failed", True)],
)
def test_the_outcome_of_a_reconcile_is_traced(
    receiver: Receiver, error: Exception, outcome: str, is_error: bool
) -> None:
    with pytest.raises(type(error)), tracing.reconcile(KEY, ""):
        raise error
    tracing.stop()
    (span,) = receiver.spans()
    told = receiver.attributes(span)
    assert (told["assay.outcome"], "assay.uid" in told) == (outcome, False)
    assert (span.status.code == ERROR) == is_error
    assert span.status.message == ("no answer" if is_error else "")


async def test_only_store_failures_are_traced_as_errors(receiver: Receiver) -> None:
    store = AsyncStore(None, 1, tracing.store_operation)  # type: ignore[arg-type]
    for error in (NotFound("no such key"), StoreUnavailable("no answer")):
        with pytest.raises(type(error)):
            await store.run(fails, error)
    store.close()
    tracing.stop()
    assert [span.status.code == ERROR for span in receiver.spans()] == [False, True]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_tracing_libraries_are_not_loaded_by_default(environment: dict[str, str]) -> None:
    program = (
        "import sys; from assay.kube import aio\n"
        "from assay.controllers import tracing; from assay.controllers.runtime.queue import Key\n"
        "tracing.start()\n"
        "with tracing.reconcile(Key('Run', 'ml', 'a'), ''), tracing.request('GET', '/'): pass\n"
        "tracing.store_operation('get', 0.1, None); tracing.stop()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert _python(program, environment).stdout == "[]\n"


@pytest.mark.parametrize(
    ("hidden", "exporter", "said"),
    [
        ("opentelemetry.sdk.trace", "", "assay[otel] is not installed"),
        ("nothing", "jaeger", "OTEL_TRACES_EXPORTER is 'jaeger', but only otlp is supported"),
    ],
)
def test_tracing_problems_are_logged_and_block_nothing(hidden: str, exporter: str, said: str) -> None:
    program = (
        f"import sys; sys.modules[{hidden!r}] = None; from assay.controllers import tracing\n"
        "tracing.start(); tracing.store_operation('get', 0.1, None); tracing.stop()"
    )
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": exporter}
    assert f"tracing is off: {said}" in _python(program, endpoint).stderr.replace(_NAMES, "")


_NAMES = "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, but "


def _python(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", program]
    return subprocess.run(
        argv, env={"PYTHONPATH": str(OPERATOR), **environment}, capture_output=True, text=True, check=True
    )
