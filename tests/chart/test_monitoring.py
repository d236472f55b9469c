"""What the chart brings for Prometheus and Grafana: as rendered, as promtool judges it, and on a real operator."""

import functools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assay.store.records import Summary
from tests import operators, registry
from tests.chart.test_chart import TRYING_OUT, named, rendered
from tests.cluster import prometheus
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.prometheus import Prometheus
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment, run

pytestmark = pytest.mark.chart

Raw = dict[str, Any]
EVERYTHING = {**TRYING_OUT, "metrics": {"serviceMonitor": True, "rules": True, "dashboard": True, "labels": {"a": "b"}}}
NAMESPACE = "ml-platform"


@functools.cache
def rules() -> Raw:
    spec: Raw = named(rendered(EVERYTHING), "PrometheusRule")["assay-operator"]["spec"]
    return spec


def alerts() -> dict[str, Raw]:
    return {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"]}


def dashboard() -> Raw:
    config_map = named(rendered(EVERYTHING), "ConfigMap")["assay-dashboard"]
    found: Raw = json.loads(config_map["data"]["assay.json"])
    return found


def queries() -> dict[str, str]:
    """Return the queries of the dashboard by panel and legend, as Grafana sends them."""
    found = {}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$namespace", ".*")
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


# Rendered


def test_monitoring_objects_are_rendered_only_on_request() -> None:
    there = identities(rendered(TRYING_OUT))
    assert not {kind for kind, _ in there} & {"ServiceMonitor", "PrometheusRule"}
    for value, kind, name in (
        ("serviceMonitor", "ServiceMonitor", "assay-operator"),
        ("rules", "PrometheusRule", "assay-operator"),
        ("dashboard", "ConfigMap", "assay-dashboard"),
    ):
        found = identities(rendered({**TRYING_OUT, "metrics": {value: True}}))
        assert found - there == {(kind, name)}


def identities(objects: list[Raw]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


def test_monitoring_objects_have_their_discovery_labels() -> None:
    objects = rendered(EVERYTHING)
    for kind, name in (
        ("ServiceMonitor", "assay-operator"),
        ("PrometheusRule", "assay-operator"),
        ("ConfigMap", "assay-dashboard"),
    ):
        assert named(objects, kind)[name]["metadata"]["labels"]["a"] == "b"
    assert named(objects, "ConfigMap")["assay-dashboard"]["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_monitor_finds_the_operators_service_and_its_port() -> None:
    objects = rendered(EVERYTHING)
    spec = named(objects, "ServiceMonitor")["assay-operator"]["spec"]
    service = named(objects, "Service")["assay-operator"]
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert endpoint["honorLabels"], "or the namespace of an alias is that of the operator"


def test_the_down_alert_watches_the_operator_namespace() -> None:
    assert alerts()["AssayDown"]["expr"] == f'absent(assay_leading{{namespace="{NAMESPACE}"}})'


def test_every_panel_has_a_query_and_no_panels_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["type"] == "row" or panel["targets"] for panel in panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


# As promtool judges it


def test_promtool_check_passes(tmp_path: Path) -> None:
    assert f"{len(alerts())} rules found" in prometheus.check_rules(rules(), tmp_path)
    broken = {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "sum(assay_runs"}]}]}
    with pytest.raises(ClusterError, match="parse error"):
        prometheus.check_rules(broken, tmp_path)


BINDING = 'kind="ValidatingAdmissionPolicyBinding",policy="assay-aliases"'
#: For each alert the series at which it fires, minute by minute, and the labels that it then has.
ALIAS = 'namespace="ml",model="digits",alias="champion"'
FIRES: dict[str, tuple[dict[str, str], Raw]] = {
    "AssayDown": ({'assay_leading{namespace="elsewhere"}': "1x180"}, {"namespace": NAMESPACE}),
    "AssayNotReady": ({'assay_ready{check="store",pod="a"}': "0x180"}, {"check": "store", "pod": "a"}),
    "AssayPoliciesChanged": (
        {f"assay_admission_policies_faulty{{{BINDING}}}": "0x90 1x90"},
        {"kind": "ValidatingAdmissionPolicyBinding", "policy": "assay-aliases"},
    ),
    "AssayReconcileErrors": (
        {
            'assay_reconcile_errors_total{kind="Run"}': "0+6x180",
            'assay_reconcile_duration_seconds_count{kind="Run"}': "0+50x180",
        },
        {"kind": "Run"},
    ),
    "AssayQueueSlow": (
        {
            'assay_queue_wait_seconds_bucket{le="30"}': "0+1x180",
            'assay_queue_wait_seconds_bucket{le="120"}': "0+5x180",
            'assay_queue_wait_seconds_bucket{le="+Inf"}': "0+5x180",
        },
        {},
    ),
    "AssayStoreErrors": (
        {
            'assay_store_errors_total{operation="open_record",error="StoreUnavailable"}': "0+1x180",
            'assay_store_errors_total{operation="open_record",error="Busy"}': "0+9x180",
        },
        {"error": "StoreUnavailable"},
    ),
    "AssayRunsWithoutStore": ({"assay_runs_without_store": "2x180"}, {}),
    "AssayRecorderBehind": ({"assay_recorder_lag_seconds": "0+60x180"}, {}),
    "AssayCredentialsExpired": ({'assay_credentials_expired{kind="Run"}': "1x180"}, {"kind": "Run"}),
    "AssayAuditDoubt": ({'assay_audit_doubt{namespace="ml"}': "1x180"}, {"namespace": "ml"}),
    "AssayAuditErrors": ({'assay_audit_errors_total{error="StoreDenied"}': "0+1x180"}, {"error": "StoreDenied"}),
    "AssayAuditHeadsPending": ({"assay_audit_heads_pending": "1x180"}, {}),
    "AssayAliasDegraded": (
        {f'assay_alias_phase{{{ALIAS},phase="Degraded"}}': "1x180"},
        {"namespace": "ml", "model": "digits", "alias": "champion"},
    ),
    "AssayApprovalsPending": (
        {'assay_approvals_pending_oldest_seconds{namespace="ml"}': "170000+60x180"},
        {"namespace": "ml"},
    ),
    "AssayPolicyUnreadable": ({'assay_promotion_policies_unreadable{namespace="ml"}': "1x180"}, {"namespace": "ml"}),
    "AssaySignatureInvalid": (
        {'assay_model_versions_unsigned{reason="SignatureInvalid"}': "1x180"},
        {"reason": "SignatureInvalid"},
    ),
    "AssayRunsWaiting": (
        {'assay_runs_waiting_oldest_seconds{reason="Unschedulable"}': "0+60x180"},
        {"reason": "Unschedulable"},
    ),
    "AssayRecordsIncomplete": (
        {'assay_runs_ended_total{phase="Failed",reason="RecordIncomplete"}': "0x150 1x30"},
        {},
    ),
    "AssayLogGaps": ({"assay_log_gaps_total": "0x150 2x30"}, {}),
}
#: The same series of an operator that is well: whatever is not below its threshold is a false alarm.
WELL = {
    f'assay_leading{{namespace="{NAMESPACE}"}}': "1x180",
    'assay_ready{check="store",pod="a"}': "1x180",
    f"assay_admission_policies_faulty{{{BINDING}}}": "0x180",
    'assay_reconcile_errors_total{kind="Run"}': "0x90 3x90",
    'assay_reconcile_duration_seconds_count{kind="Run"}': "0+50x180",
    'assay_queue_wait_seconds_bucket{le="1"}': "0+5x180",
    'assay_queue_wait_seconds_bucket{le="+Inf"}': "0+5x180",
    'assay_store_errors_total{operation="open_record",error="Busy"}': "0+9x180",
    'assay_store_errors_total{operation="open_record",error="StoreUnavailable"}': "0x90 4x90",
    "assay_runs_without_store": "0x180",
    "assay_recorder_lag_seconds": "12 31 44 120 9 0x175",
    'assay_credentials_expired{kind="Run"}': "0x180",
    'assay_audit_doubt{namespace="ml"}': "0x180",
    'assay_audit_errors_total{error="StoreDenied"}': "1x180",
    "assay_audit_heads_pending": "0 1 0 1 0 0x175",
    f'assay_alias_phase{{{ALIAS},phase="Bound"}}': "1x180",
    'assay_approvals_pending_oldest_seconds{namespace="ml"}': "0+60x180",
    'assay_model_versions_unsigned{reason="NoKey"}': "3x180",
    'assay_runs_waiting_oldest_seconds{reason="FetchingData"}': "0+60x180",
    'assay_runs_waiting_oldest_seconds{reason="Unschedulable"}': "0+15x180",
    'assay_runs_ended_total{phase="Failed",reason="RecordIncomplete"}': "1x180",
    'assay_runs_ended_total{phase="Succeeded",reason="JobComplete"}': "0+1x180",
    "assay_log_gaps_total": "0x180",
}


def case(series: dict[str, str], expected: dict[str, list[Raw]]) -> Raw:
    """Return a unit test of promtool's: which alerts fire after three hours."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": "3h", "alertname": name, "exp_alerts": found} for name, found in expected.items()
        ],
    }


def told(name: str, labels: Raw) -> Raw:
    return {"exp_labels": {**alerts()[name]["labels"], **labels}}


def test_every_alert_fires_with_its_labels(tmp_path: Path) -> None:
    assert set(FIRES) == set(alerts())
    # What is said in words is not compared; that it can be said is what promtool's check is about.
    quiet = {"groups": [{"name": "a", "rules": [{**rule, "annotations": {}} for rule in alerts().values()]}]}
    cases = [case(series, {name: [told(name, labels)]}) for name, (series, labels) in FIRES.items()]
    prometheus.try_rules(quiet, {"tests": cases}, tmp_path)


def test_no_alert_fires_on_a_healthy_operator(tmp_path: Path) -> None:
    prometheus.try_rules(rules(), {"tests": [case(WELL, {name: [] for name in alerts()})]}, tmp_path)


# On a real operator


@pytest.fixture
def scraped(control_plane: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a real operator, which knows of what other tests have left nothing."""
    operators.install(control_plane)
    environment = {"ASSAY_NAMESPACES": namespace}
    with (
        operators.OperatorProcess(control_plane, tmp_path / "operator.log", environment) as operator,
        Prometheus(operator.metrics_port, namespace=NAMESPACE, pod="assay-operator-0") as server,
    ):
        yield server


@pytest.mark.integration
def test_every_rule_and_every_query_asks_for_what_the_operator_has(scraped: Prometheus) -> None:
    expressions = {name: rule["expr"] for name, rule in alerts().items()} | queries()
    wait_for("the operator's own series", lambda: "assay_leading" in scraped.names(), seconds=20)
    names = scraped.names()
    for what, expression in expressions.items():
        wanted = prometheus.series(expression)
        assert wanted, f"{what} asks for nothing of ours"
        assert wanted <= names, f"{what} asks for {wanted - names}"
        scraped.query(expression)
    with pytest.raises(ClusterError, match="parse error"):
        scraped.query("sum(assay_runs")


def pod_that_trains(objects: Objects, name: str) -> Raw:
    """Return the pod of a run, once its training container runs as far as the API server knows."""
    wait_for("the run's pod", lambda: objects.all("pods", f"assay.dev/run={name}"), seconds=30)
    (pod,) = objects.all("pods", f"assay.dev/run={name}")
    training = {"name": "train", "image": "a", "imageID": "", "ready": True, "restartCount": 0}
    started = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    patch = {"status": {"phase": "Running", "containerStatuses": [{**training, "state": started}]}}
    argv = ("--subresource=status", "--type=merge", "-p", json.dumps(patch), *registry.AS_COMPONENT)
    objects.kubectl("patch", "pod", pod["metadata"]["name"], *argv)
    return pod


def leave_word(objects: Objects, pod: Raw, since: timedelta) -> None:
    """Put into the store what its recorder has said so long ago."""
    name = pod["metadata"]["name"]
    word = Summary(pod=name, updated=(datetime.now(UTC) - since).strftime("%Y-%m-%dT%H:%M:%SZ"))
    owner = objects.get("run", pod["metadata"]["labels"]["assay.dev/run"])
    objects.store.put_bytes(f"{objects.prefix(owner)}/intake/{name}/summary.json", word.to_json())


@pytest.mark.integration
def test_metrics_and_alerts_follow_the_cluster(
    scraped: Prometheus, control_plane: LocalCluster, namespace: str
) -> None:
    objects = Objects(control_plane, namespace)
    parameters = [{"name": "a", "values": [1, 2]}]
    objects.apply(experiment("metered", "pass", parameters=parameters, parallelism=2, job={"suspend": True}))
    objects.apply(registry.model_alias("digits", "champion", 1))

    def firing() -> set[str]:
        return {name for name, rule in alerts().items() if scraped.query(rule["expr"])}

    def seen(expression: str, value: float) -> None:
        def holds() -> bool:
            found = scraped.query(expression)
            return bool(found) and float(found[0]["value"][1]) >= value

        wait_for(f"{expression} to be {value}", holds, seconds=30, saw=lambda: scraped.query(expression))

    seen('assay_runs{phase="Suspended"}', 2)
    seen("assay_run_launch_seconds_count", 2)
    seen('assay_store_operation_duration_seconds_count{operation="AuditTrail.append"}', 1)
    seen(f'assay_alias_phase{{namespace="{namespace}",model="digits",alias="champion",phase="Held"}}', 1)
    seen('sum(assay_audit_records_total{action="BindingRefused"})', 1)
    seen('assay_ready{check="store"}', 1)
    seen(f'assay_leading{{namespace="{NAMESPACE}"}}', 1)
    assert firing() == set(), "an alarm about an operator that is well"

    # A pod that no node takes: what a kubelet and a recorder would write is written here.
    silent = run("silent", "pass")
    silent["spec"]["job"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "nowhere"}
    objects.apply(silent)
    leave_word(objects, pod_that_trains(objects, "silent"), since=timedelta(hours=1))
    seen("assay_recorder_lag_seconds", 3600)
    assert firing() == {"AssayRecorderBehind"}
    leave_word(objects, objects.all("pods", "assay.dev/run=silent")[0], since=timedelta())
    wait_for("the alarm to end", lambda: firing() == set(), seconds=30, saw=firing)
