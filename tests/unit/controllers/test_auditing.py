"""The heads in the ConfigMap, as somebody may have left them. The rest of the keeper is tested on real servers."""

import logging

import pytest

from assay.controllers.audit.recorder import heads
from assay.store.audit import Head

pytestmark = pytest.mark.unit

GOOD = "42:" + "a" * 64


def test_invalid_heads_are_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = heads({"team": GOOD, "empty": "", "short": "42:ab", "none": None, "number": 42, "line": GOOD + "\n"})
    assert found == {"team": Head(42, "a" * 64), "line": Head(42, "a" * 64)}
    ignored = [record.getMessage() for record in caplog.records]
    assert len(ignored) == 4
    for name in ("empty", "short", "none", "number"):
        assert any(f"the head of {name} is ignored" in message for message in ignored)


@pytest.mark.parametrize("data", [None, {}, [], "text"])
def test_a_config_map_without_heads(data: object) -> None:
    assert heads(data) == {}
