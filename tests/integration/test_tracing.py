"""An operator that is told where traces go sends them: each reconcile, with its requests and store operations."""

from pathlib import Path

import pytest

from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment
from tests.otlp import Receiver

pytestmark = pytest.mark.integration


def credentials_of(objects: Objects) -> object:
    return objects.get("run", "traced-0").get("status", {}).get("credentials")


def test_the_launch_of_a_run_is_a_trace(control_plane: LocalCluster, namespace: str, tmp_path: Path) -> None:
    operators.install(control_plane)
    with Receiver() as receiver:
        environment = {"ASSAY_NAMESPACES": namespace, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        objects = Objects(control_plane, namespace)
        with operators.OperatorProcess(control_plane, tmp_path / "operator.log", environment):
            objects.apply(experiment("traced", "pass"))
            wait_for("the run's credentials", lambda: credentials_of(objects), seconds=30)
    uid = objects.get("run", "traced-0")["metadata"]["uid"]
    reconciles = [span for span in receiver.spans() if receiver.attributes(span).get("assay.uid") == uid]
    assert {span.name for span in reconciles} == {"reconcile Run"}
    assert {receiver.attributes(span)["k8s.namespace.name"] for span in reconciles} == {namespace}
    parents = {span.span_id for span in reconciles}
    children = [span for span in receiver.spans() if span.parent_span_id in parents]
    assert "store open_record" in {span.name for span in children}
    created = [receiver.attributes(span)["url.path"] for span in children if span.name == "POST"]
    assert f"/apis/batch/v1/namespaces/{namespace}/jobs" in created
