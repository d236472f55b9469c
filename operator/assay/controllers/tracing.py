"""OpenTelemetry traces of the operator, configured by OTEL_* variables.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` this module imports and does nothing; the packages are in the extra `otel`.
Tracing errors are logged and never stop the operator. Spans contain names of objects and operations, never contents.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import assay
from assay.controllers import metrics
from assay.controllers.runtime.queue import Key, Requeue

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE = "assay-operator"
_NOWHERE = "tracing is off: "

#: OpenTelemetry's TracerProvider and its Tracer; None without tracing.
_provider: Any = None
_tracer: Any = None


def start() -> None:
    """Start tracing if the OTEL_* variables enable it."""
    global _provider, _tracer
    if not _enabled(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning(_NOWHERE + "%s is set, but assay[otel] is not installed (%s)", " or ".join(_ENDPOINTS), error)
        return
    service = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or _SERVICE, "service.version": assay.__version__}
    _provider = TracerProvider(resource=Resource.create(service))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("assay", assay.__version__)
    log.info("traces are sent by OTLP over HTTP")


def stop() -> None:
    """Flush the remaining spans and stop. Blocks for up to half a minute when the endpoint does not answer."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    _provider = _tracer = None


def _enabled(environment: Mapping[str, str]) -> bool:
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if not any(map(environment.get, _ENDPOINTS)) or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter not in ("otlp", "none"):
        log.warning(_NOWHERE + "OTEL_TRACES_EXPORTER is %r, but only otlp is supported", exporter)
    return exporter == "otlp"


@contextmanager
def reconcile(key: Key, uid: str) -> Iterator[None]:
    """Trace one reconcile. ``uid`` is the object's UID, "" when unknown."""
    if _tracer is None:
        yield
        return
    named = {"k8s.namespace.name": key.namespace, "assay.kind": key.kind, "assay.name": key.name}
    attributes = named | ({"assay.uid": uid} if uid else {})
    with _tracer.start_as_current_span(
        f"reconcile {key.kind}", attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Requeue as requeue:
            span.set_attributes({"assay.outcome": "again", "assay.why": str(requeue)})
            raise
        except Exception as error:
            span.set_attribute("assay.outcome", "failed")
            _failed(span, error)
            raise
        else:
            span.set_attribute("assay.outcome", "done")


@contextmanager
def request(method: str, path: str) -> Iterator[None]:
    """Trace one request to the API server."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    attributes = {"http.request.method": method, "url.path": path}
    with _tracer.start_as_current_span(
        method, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Exception as error:
            _failed(span, error)
            raise


def store_operation(operation: str, seconds: float, error: BaseException | None) -> None:
    """Trace a finished store operation. Called in the store's threads, in the caller's context."""
    if _tracer is None:
        return
    end = time.time_ns()
    span = _tracer.start_span(f"store {operation}", start_time=end - round(seconds * 1e9))
    if error is not None and not isinstance(error, metrics.ANSWERS):
        _failed(span, error)
    span.end(end)


def _failed(span: Any, error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR, str(error))
