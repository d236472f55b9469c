"""The people of a demonstration: their key for the store has the policy that the documentation gives them."""

import json
import re
from pathlib import Path

import pytest

from tests.cluster.store import reader_policy

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_policy_for_people_is_the_one_that_the_documentation_shows() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", (DOCS / "cli.md").read_text(), re.MULTILINE | re.DOTALL)
    shown = [json.loads(block) for block in blocks if '"s3:GetObject"' in block]
    assert shown == [reader_policy("assay", "team")]
