"""Records are the guard against what a pod could have written: everything is bounded."""

import json

import pydantic
import pytest

from assay.store.records import FileEntry, MetricSummary, PodManifest, RunManifest, Summary

pytestmark = pytest.mark.unit

METRIC = {"last": 1.0, "min": 0.5, "max": 2, "step": 3, "count": 4, "min_step": 0, "max_step": 1}
SUMMARY = {"version": 1, "pod": "p", "updated": "2026-01-01T00:00:00Z", "points": 4, "metrics": {"loss": METRIC}}
FILE = {"path": "artifacts/a", "size": 1, "sha256": "0" * 64}
MANIFEST = {
    "version": 1,
    "pod": "p",
    "started": "2026-01-01T00:00:00Z",
    "finished": "2026-01-01T00:00:00Z",
    "files": [FILE],
    "summary": SUMMARY,
}


def test_a_newer_writer_may_add_fields() -> None:
    found = PodManifest.model_validate_json(json.dumps(MANIFEST | {"novelty": 1}))
    assert found.summary.metrics["loss"] == MetricSummary(**METRIC)
    assert found.files == [FileEntry(**FILE)]


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"m" * 201: METRIC}},
        {"metrics": {f"m{i}": METRIC for i in range(1201)}},
        {"metrics": {"m": METRIC | {"last": "unknown"}}},
        {"metrics": {"m": METRIC | {"min": "NaN"}}},
        {"metrics": {"m": METRIC | {"max": float("inf")}}},
        {"metrics": {"m": METRIC | {"step": "NaN"}}},
        {"refused": {f"m{i}": "not a number" for i in range(51)}},
        {"parameters": {"p": "v" * 1001}},
        {"tags": {f"t{i}": "v" for i in range(501)}},
        {"warnings": ["w"] * 21},
        {"warnings": ["w" * 501]},
        {"store_error": "e" * 501},
        {"points": -1},
        {"pod": "p" * 254},
        {"version": 2},
    ],
)
def test_a_summary_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    Summary.model_validate_json(json.dumps(SUMMARY))
    with pytest.raises(pydantic.ValidationError):
        Summary.model_validate_json(json.dumps(SUMMARY | change))


@pytest.mark.parametrize("last", ["NaN", "Infinity", "-Infinity"])
def test_a_last_value_that_is_not_finite_survives(last: str) -> None:
    metric = {"last": last, "step": 0.5, "count": 1}
    found = Summary.model_validate_json(json.dumps(SUMMARY | {"metrics": {"m": metric}}))
    again = Summary.model_validate_json(found.to_json())
    assert repr(again.metrics["m"].last) == repr(float(last))
    assert (again.metrics["m"].min, again.metrics["m"].step) == (None, 0.5)


@pytest.mark.parametrize(
    "change", [{"size": -1}, {"sha256": "x"}, {"sha256": "A" * 64}, {"path": ""}, {"path": "p" * 1025}]
)
def test_a_file_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        FileEntry.model_validate(FILE | change)


def test_a_run_manifest_round_trips() -> None:
    manifest = RunManifest(
        namespace="ns",
        name="r",
        uid="u",
        outcome="Succeeded",
        pods=[{"name": "p", "complete": True, "manifest_sha256": "0" * 64}],  # type: ignore[list-item]
        files=[FileEntry(**FILE)],
        written="2026-01-01T00:00:00Z",
    )
    assert RunManifest.model_validate_json(manifest.to_json()) == manifest
