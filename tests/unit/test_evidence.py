"""What the operator reads of objects is in the table of who may write it, and docs/security.md prints that table."""

import pytest

from assay.api import names
from tests import evidence

pytestmark = pytest.mark.unit

#: Keys that are read of something else than an object of the API server: where, and of what.
NOT_OF_OBJECTS = {
    "controllers/environment": "errors of environment variables",
    "controllers/__main__": "environment variables",
    "controllers/tracing": "environment variables",
    "controllers/health": "paths of requests",
    "controllers/tracking/kubelets": "answers of kubelets",
    "planning/runs/usage": "answers of kubelets",
    "planning/runs/pod_security": "a run's template",
    "controllers/scrapers": "answers to TokenReviews and SubjectAccessReviews",
    "controllers/registry/rights": "answers to SubjectAccessReviews",
    "planning/promotion/expressions": "limits and types of expressions",
}
#: Kubernetes' own words that every kind has, and values that are compared.
COMMON = {"metadata", "spec", "status", "kind", "apiVersion", "items", "continue", "name", "namespace", "uid"}
VALUES = {
    "@",
    "@sha256:",
    "Image",
    "Job",
    "Pod",
    names.RECORDER_CONTAINER,
    names.RUN,
    names.MODEL_ALIAS,
    names.MODEL_VERSION,
    names.EXPERIMENT,
}
CONDITIONS = {names.ARTIFACT_VERIFIED, names.PROVENANCE_VERIFIED, names.REPRODUCIBLE, names.SIGNED}
#: What is read of the templates that our kinds carry, and of what the operator is about to write.
OF_TEMPLATES = {
    "cpu": "resources of containers in samples",
    "memory": "resources of containers in samples",
    "data": "a volume of the operator's own",
    "configMap": "a run's template",
    "envFrom": "a run's template",
    "workingDir": "a run's template",
    "imagePullPolicy": "a run's template",
    "imagePullSecrets": "a run's template",
    "managedBy": "a run's template",
    "podFailurePolicy": "a run's template",
    "podReplacementPolicy": "a run's template",
    "limits": "a run's template",
    "requests": "a run's template",
    "resources": "a run's template",
    "restartPolicy": "a run's template",
    "rules": "a run's template",
    "runAsNonRoot": "a run's template",
    "runAsUser": "a run's template",
    "hostNetwork": "a run's template",
    "securityContext": "a run's template",
    "terminationGracePeriodSeconds": "a run's template",
    "valueFrom": "a run's template",
    "token": "the answer to a request for a token",
}


def unlisted() -> dict[str, set[str]]:
    known = (
        evidence.keys_of_the_table() | evidence.keys_of_our_kinds() | COMMON | VALUES | CONDITIONS | OF_TEMPLATES.keys()
    )
    read = {key: where - NOT_OF_OBJECTS.keys() for key, where in evidence.keys_read().items() if key not in known}
    return {key: where for key, where in read.items() if where}


def test_every_field_that_the_operator_reads_has_a_row() -> None:
    """A field that it starts to read fails here until docs/evidence.yaml says who may write it."""
    assert unlisted() == {}


def test_an_unlisted_label_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "keys_read", lambda: {"assay.dev/new": {"planning/runs/facts"}})
    assert unlisted() == {"assay.dev/new": {"planning/runs/facts"}}


def test_every_row_is_about_a_field_that_is_read() -> None:
    """Only labels and annotations: the names of fields stand for parts of them too."""
    read = evidence.keys_read().keys()
    marks = {field.partition("s.")[2] for row in evidence.rows() for field in row["fields"] if "assay.dev/" in field}
    not_compared = {names.SERVED_PREFIX + "version", names.ANNOTATION_PARAMETERS}
    assert {mark.partition("annotations.")[2] or mark for mark in marks} - read - not_compared == set()


def test_every_row_lists_its_writers() -> None:
    for row in evidence.rows():
        assert {"kind", "fields", "decides", "writers", "kept"} <= row.keys(), row
        assert row.keys() <= {"kind", "fields", "decides", "writers", "kept", "try", "to", "may"}, row


def test_the_documentation_prints_the_table() -> None:
    assert evidence.document() == evidence.SECURITY.read_text(), "run `python -m tests.evidence`"
