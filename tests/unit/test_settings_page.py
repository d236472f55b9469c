"""docs/settings.md lists every variable that the operator reads, with its default, and no other."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from assay.controllers.environment import PREFIX, OperatorEnvironment
from assay.controllers.settings import Settings

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).resolve().parents[2] / "docs/settings.md").read_text()
REQUIRED = {
    "ASSAY_IMAGE": "assay:test",
    "ASSAY_STORE_ENDPOINT": "https://store.example.com",
    "ASSAY_STORE_ACCESS_KEY": "key",
    "ASSAY_STORE_SECRET_KEY": "secret",
}
STATIC = {
    "ASSAY_STORE_CREDENTIALS_MODE": "static",
    "ASSAY_STORE_RUN_ACCESS_KEY": "key",
    "ASSAY_STORE_RUN_SECRET_KEY": "secret",
}
#: Read before the settings are, by the process itself.
LOG_LEVEL = "ASSAY_LOG_LEVEL"


class Asked(dict[str, str]):
    """An environment that remembers which variables it was asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.names.add(name)
        return super().get(name, default)


def rows() -> dict[str, str]:
    """Return the second column of the tables by variable."""
    found = {}
    for names, default in re.findall(r"^\| (`ASSAY_.*?) \| (.*?) ?\| ", PAGE, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(ASSAY_[A-Z_]+)`", names), default.strip())
    return found


def test_the_page_lists_every_variable_and_no_other() -> None:
    asked = {LOG_LEVEL, *(f"{PREFIX}{field.upper()}" for field in OperatorEnvironment.model_fields)}
    for variables in (REQUIRED, REQUIRED | STATIC):
        environment = Asked(variables)
        Settings.from_environment(environment)
        asked |= environment.names
    assert set(rows()) == asked


def test_required_variables_are_those_without_which_it_does_not_start() -> None:
    assert {name for name, default in rows().items() if default == "required"} == set(REQUIRED)
    for name in REQUIRED:
        with pytest.raises(ValueError, match=name):
            Settings.from_environment({key: value for key, value in REQUIRED.items() if key != name})


def test_defaults_are_those_of_the_code() -> None:
    """Setting a variable to its documented default changes nothing."""
    defaults = {name: default.strip("`") for name, default in rows().items() if re.fullmatch(r"`[^`]+`", default)}
    assert len(defaults) > 15
    usual = {"ASSAY_POD": f"{os.getpid()}"}
    assert Settings.from_environment(REQUIRED | defaults | usual) == Settings.from_environment(REQUIRED | usual)
