"""Shared accessors for raw objects, the JSON that the API server returns."""

from typing import Any

from assay.api import names

#: An object of the Kubernetes API as JSON.
Raw = dict[str, Any]


def experiment_of(run: Raw) -> str:
    """Return the name of a Run's Experiment; "" when the Run has none."""
    return str((run["metadata"].get("labels") or {}).get(names.LABEL_EXPERIMENT) or "")


def is_archived(body: Raw) -> bool:
    """Whether a ModelVersion is archived."""
    return names.LABEL_ARCHIVED in (body["metadata"].get("labels") or {})


def condition(body: Raw, kind: str) -> Raw | None:
    """Return the condition of an object with this type; None when it is absent."""
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), None)


def is_true(body: Raw, kind: str) -> bool:
    """Whether a condition of an object is True."""
    found = condition(body, kind)
    return found is not None and found["status"] == "True"
