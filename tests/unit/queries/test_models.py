"""What is said about aliases in lists of models and versions."""

from typing import Any

import pytest

from assay.cli.models.models import alias_text
from assay.queries import models

pytestmark = pytest.mark.unit


def alias(version: int, **status: Any) -> dict[str, Any]:
    spec = {"model": "digits", "alias": "champion", "version": version}
    return {"metadata": {"name": "digits.champion", "generation": 3}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("body", "text", "waits"),
    [
        (alias(2, boundVersion=2), "champion=v2", False),
        (alias(2), "champion=none (requested v2)", True),
        (alias(2, boundVersion=1), "champion=v1 (requested v2)", True),
        (
            alias(2, boundVersion=1, setAside={"version": 2, "generation": 3}),
            "champion=v1 (rolled back from v2)",
            False,
        ),
        (alias(2, boundVersion=1, setAside={"version": 2, "generation": 2}), "champion=v1 (requested v2)", True),
    ],
    ids=["live", "new", "requested", "rolled back", "requested again"],
)
def test_a_version_that_was_rolled_back_is_not_requested(body: dict[str, Any], text: str, waits: bool) -> None:
    state = models.alias_state(body)
    assert alias_text(state) == text
    version = {
        "metadata": {"name": "digits.v2", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"model": "digits"},
    }
    version["spec"] |= {"version": 2, "artifact": {"digest": "sha256:00"}}  # type: ignore[dict-item]
    assert models.version(version, [state])["wantedBy"] == (["champion"] if waits else [])
