"""The environment of the Deployment `assay-server`."""

import pytest

from assay.server.__main__ import Settings
from assay.store.config import ConfigError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("address", ["", "/oauth2/sign_out?rd=%2F", "https://sso.example.com/logout"])
def test_pages_link_to_where_a_proxy_ends_sessions(address: str) -> None:
    assert Settings.from_environment({"ASSAY_SERVER_SIGN_OUT": address}).sign_out == address


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://sso.example.com", "oauth2/sign_out"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"ASSAY_SERVER_SIGN_OUT is .*: it must begin with / or https://"):
        Settings.from_environment({"ASSAY_SERVER_SIGN_OUT": address})
