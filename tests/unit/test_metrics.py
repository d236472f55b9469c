"""docs/metrics.md lists every metric and every alert that there is, as the code has them."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from assay.controllers import metrics
from assay.controllers.runtime.gauges import SHOWN
from assay.server import metrics as server_metrics

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs/metrics.md").read_text()
RULES = yaml.safe_load((ROOT / "charts/assay/files/rules.yaml").read_text())

Row = tuple[str, str, str, str]


def counted() -> set[Row]:
    """Return (name, type, labels, help text) of what the operator and the server count."""
    found = set()
    for metric in (*vars(metrics).values(), *vars(server_metrics).values()):
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add((name, family.type, ", ".join(metric._labelnames), family.documentation))
    return found


def shown() -> set[Row]:
    return {(name, "gauge", ", ".join(each.labels), each.text) for name, each in SHOWN.items()}


def documented() -> set[Row]:
    rows = re.findall(r"^\| `(assay_\w+)` \| (\w+) \|([^|]*) \| ([^|]+) \|$", DOCS, re.MULTILINE)
    return {(name, kind, labels.strip(), text) for name, kind, labels, text in rows}


def test_the_docs_list_every_metric_and_no_other() -> None:
    assert documented() == counted() | shown()
    assert len({name for name, *_ in documented()}) == len(documented())


def test_names_follow_the_conventions() -> None:
    for name, kind, _, text in counted() | shown():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", name), "base units only"
        assert kind != "histogram" or name.endswith("_seconds")
        assert text.endswith(".")


def test_no_metric_has_a_label_per_run() -> None:
    labels = {label for _, _, found, _ in counted() | shown() for label in found.split(", ") if label}
    assert labels.isdisjoint({"run", "uid", "experiment", "pod", "name", "key", "digest"})


def test_every_metric_of_an_alert_exists() -> None:
    known = set()
    for name, kind, *_ in counted() | shown():
        known |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert set(re.findall(r"\bassay_\w+", rule["expr"])) <= known, rule["alert"]


def test_the_docs_say_what_to_do_about_every_alert() -> None:
    rows = re.findall(r"^\| `(Assay\w+)` \| (\w+) \| [^|]+ \| [^|]+ \|$", DOCS, re.MULTILINE)
    rules = [(rule["alert"], rule["labels"]["severity"]) for group in RULES["groups"] for rule in group["rules"]]
    assert sorted(rows) == sorted(rules)
