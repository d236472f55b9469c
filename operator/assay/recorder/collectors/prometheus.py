"""The metrics endpoint of a training container, in Prometheus' text format, on the pod's localhost.

Gauges, counters, and the sums and counts of histograms and summaries are metrics; buckets, quantiles and what the
client libraries say about their process are left out. Labels are part of the name: `loss{split="val"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.collectors.sampling import Sampler
from assay.store.limits import MAX_METRIC_NAME_CHARS

SECONDS = 5.0
_TIMEOUT = 3.0
_MAX_BYTES, _MAX_SERIES = 4 << 20, 1000
_OF_THE_CLIENT = ("python_", "process_", "go_", "promhttp_")
_LEFT_OUT = ("_bucket", "_created")


def endpoint(surroundings: Surroundings, position: Position) -> Sampler:
    """Open the endpoint of `spec.collect.prometheus`."""
    options = surroundings.options
    port, path = int(options["port"]), str(options.get("path") or "/metrics")
    return Sampler("prometheus", lambda: scrape(port, path), surroundings.clock, SECONDS, position)


def scrape(port: int, path: str) -> Mapping[str, float]:
    """Return the values by name. Raises OSError without an answer, and ValueError for an answer in another format."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Accept": "text/plain; version=0.0.4"})
        answer = connection.getresponse()
        data = answer.read(_MAX_BYTES + 1)
    except HTTPException as error:
        raise ValueError(f"http://localhost:{port}{path} does not speak HTTP: {type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"http://localhost:{port}{path} answers {answer.status}")
    if len(data) > _MAX_BYTES:
        raise ValueError(f"http://localhost:{port}{path} answers more than {_MAX_BYTES} bytes")
    return values(data.decode("utf-8", "replace"))


def values(text: str) -> Mapping[str, float]:
    """Return the values in a text, at most 1000. Raises ValueError for another format."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(_OF_THE_CLIENT):
            continue
        for sample in family.samples:
            if sample.name.endswith(_LEFT_OUT) or "quantile" in sample.labels:
                continue
            name = sample.name + _labels(sample.labels)
            if len(name) <= MAX_METRIC_NAME_CHARS and (len(found) < _MAX_SERIES or name in found):
                found[name] = float(sample.value)
    return found


def _labels(labels: Mapping[str, Any]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}" if labels else ""
