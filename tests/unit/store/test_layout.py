"""Keys go both ways, and nothing can be named that leads out of its prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store import layout
from assay.store.layout import LogName

pytestmark = pytest.mark.unit

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", fullmatch=True)


@given(names, st.none() | names, names, names, names)
def test_prefixes_round_trip(namespace: str, experiment: str | None, run: str, uid: str, pod: str) -> None:
    prefix = layout.run_prefix(namespace, experiment, run, uid)
    assert layout.parse_run_prefix(prefix) == (namespace, experiment, run, uid)
    assert layout.parse_pod_prefix(layout.pod_prefix(prefix, pod)) == ((namespace, experiment, run, uid), pod)


def test_prefix_is_as_documented() -> None:
    assert layout.run_prefix("ml", None, "digits", "u-1") == "runs/ml/_/digits/u-1"
    prefix = layout.run_prefix("ml", "sweep", "sweep-1", "u-2")
    assert prefix == "runs/ml/sweep/sweep-1/u-2"
    assert layout.pod_prefix(prefix, "sweep-1-abc") == "runs/ml/sweep/sweep-1/u-2/pods/sweep-1-abc"
    assert layout.part_path(7) == "metrics/part-00007.jsonl.gz"


def test_the_prefix_of_a_run_has_its_experiment() -> None:
    run = {
        "metadata": {"namespace": "team", "name": "sweep-0", "uid": "u", "labels": {"assay.dev/experiment": "sweep"}}
    }
    assert layout.prefix_of(run) == "runs/team/sweep/sweep-0/u"
    del run["metadata"]["labels"]
    assert layout.prefix_of(run) == "runs/team/_/sweep-0/u"


@pytest.mark.parametrize(
    ("record", "pod"),
    [
        ({"pod": "b", "artifacts": "s3://assay/runs/team/_/r/u/pods/a/artifacts/"}, "b"),
        ({"artifacts": "s3://assay/runs/team/_/r/u/pods/a/artifacts/"}, "a"),
        ({"uri": "s3://assay/runs/team/_/r/u/"}, ""),
        (None, ""),
    ],
)
def test_the_counting_pod_is_read_from_its_field_or_an_older_address(record: dict[str, str] | None, pod: str) -> None:
    assert layout.counting_pod({"metadata": {}, "status": {"record": record}}) == pod
    assert layout.counting_pod({"metadata": {}}) == ""


@pytest.mark.parametrize("bad", ["", "..", "a/b", "*", "A", "_", "a..b", "a?", "${x}", "a" * 254, "a\n"])
def test_prefixes_with_invalid_kubernetes_names_are_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        layout.run_prefix("ns", "e", bad, "u")
    with pytest.raises(ValueError):
        layout.pod_prefix("runs/ns/e/r/u", bad)


@pytest.mark.parametrize("bad", ["", "runs/a/b/c", "runs/a/b/c/d/e", "other/a/b/c/d", "runs/a/B/c/d", "runs/a//c/d"])
def test_invalid_prefixes_are_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        layout.parse_run_prefix(bad)
    with pytest.raises(ValueError):
        layout.parse_pod_prefix(bad + "/pods")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=80))
def test_any_plain_path_is_a_key_below_its_prefix(path: str) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        with pytest.raises(ValueError, match="not a plain relative path"):
            layout.key("runs/a/b/c/d", path)
    else:
        assert layout.key("runs/a/b/c/d", path) == f"runs/a/b/c/d/{path}"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a\nb", "control characters"),
        ("\udcff", "not UTF-8"),
        ("ü" * 600, "would have 1213 bytes"),
        ("../x", "not a plain relative path"),
        ("/x", "not a plain relative path"),
    ],
)
def test_keys_that_no_store_accepts_are_refused_with_the_reason(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        layout.key("runs/a/b/c/d", path)


def test_a_signature_is_stored_beside_its_version() -> None:
    assert layout.signature_key("team", "digits", 3) == "models/team/digits/signatures/v3.sig"
    assert not layout.signature_key("team", "digits", 3).startswith(layout.model_prefix("team", "digits", 3) + "/")
    with pytest.raises(ValueError, match="cannot be the number of a version"):
        layout.signature_key("team", "digits", 0)
    with pytest.raises(ValueError, match="part of a model's prefix"):
        layout.signature_key("team", "../digits", 1)


@pytest.mark.parametrize("path", ["pods/p/artifacts/a", "pods/p/artifacts/a/b", "pods/p/artifacts/"])
def test_artifact_paths_are_recognised(path: str) -> None:
    assert layout.is_artifact(path)


@pytest.mark.parametrize(
    "path",
    [
        "pods/p/artifacts",
        "pods/p/metrics/artifacts/a",
        "pods/artifacts/a/b",
        "artifacts/p/artifacts/a",
        "logs/p/artifacts/a",
        "pods/p/artifactsx/a",
        "manifest.json",
        "",
    ],
)
def test_other_paths_are_not_artifacts(path: str) -> None:
    assert not layout.is_artifact(path)


def test_archived_runs_that_expire_sort_by_time() -> None:
    assert layout.expiring_prefix("ml") == "expiring/ml"
    found = [layout.expiring_name(f"20{year}-03-01T12:00:00Z", "u-1") for year in (25, 26, 99)]
    assert found == sorted(found)
    assert found[1] == "20260301T120000Z-u-1.json"
    for due, uid in (("2026-03-01", "u"), ("2026-03-01T12:00:00+02:00", "u"), ("2026-03-01T12:00:00Z", "../u")):
        with pytest.raises(ValueError):
            layout.expiring_name(due, uid)
    with pytest.raises(ValueError):
        layout.expiring_prefix("../x")


@given(names, names, st.integers(0, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_logs_round_trip(pod: str, container: str, attempt: int, part: int) -> None:
    name = LogName(pod, container, attempt)
    assert layout.parse_log_file(layout.log_part(name, part)) == (name, part)
    assert layout.parse_log_file(f"{layout.log_path(name)}/missing.json") == (name, None)


def test_a_log_is_where_it_is_documented() -> None:
    assert layout.log_part(LogName("p-1", "train"), 7) == "logs/p-1/train/part-00007.log.gz"
    assert layout.log_part(LogName("p-1", "train", 2), 7) == "logs/p-1/train/restart-2/part-00007.log.gz"
    for path in ("logs/p/train", "pods/p/logs/train/part-00001.log.gz", "logs/p/train/restart-0/missing.json"):
        assert layout.parse_log_file(path) is None
    for bad in ("", "..", "a/b", "A"):
        with pytest.raises(ValueError):
            layout.log_path(LogName(bad, "train"))
        with pytest.raises(ValueError):
            layout.log_path(LogName("p-1", bad))
