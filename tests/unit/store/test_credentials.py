"""The credentials of a run: what the policy allows, and that secrets stay out of every text."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store.config import StoreConfig
from assay.store.credentials import Credentials, issue_run_credentials, session_policy
from assay.store.layout import run_prefix

pytestmark = pytest.mark.unit


def make(expires: datetime | None = None) -> Credentials:
    return Credentials("https://s3.example.com", "eu-1", "assay", "key-1", "secret-1", "token-1", expires, "pem-1")


@given(st.none() | st.datetimes(timezones=st.just(UTC)))
def test_json_round_trip(expires: datetime | None) -> None:
    assert Credentials.from_json(make(expires).to_json()) == make(expires)


def test_repr_shows_no_secret() -> None:
    assert not any(secret in repr(make()) for secret in ("key-1", "secret-1", "token-1"))


@pytest.mark.parametrize("text", ["", "{}", "[]", "secret-1", '{"endpoint": 1}', '{"access_key": "secret-1"}', "\xff"])
def test_invalid_credentials_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError, match="not credentials as Assay writes them") as caught:
        Credentials.from_json(text)
    assert "secret-1" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_session_policy_only_allows_writing_below_intake() -> None:
    policy = json.loads(session_policy("assay", run_prefix("ns", "e", "r", "u")))
    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": ["arn:aws:s3:::assay/runs/ns/e/r/u/intake/*"],
        }
    ]


def test_policy_of_the_longest_names_fits() -> None:
    prefix = run_prefix("n" * 63, "e" * 253, "r" * 253, "u" * 36)
    assert len(session_policy("b" * 63, prefix)) <= 2048


def test_static_mode_hands_out_the_static_keys() -> None:
    config = StoreConfig(
        "https://inside:9000",
        access_key="operator",
        secret_key="operator-secret",
        sts=False,
        run_endpoint="https://outside",
        run_access_key="run",
        run_secret_key="run-secret",
    )
    issued = issue_run_credentials(config, run_prefix("ns", None, "r", "u"))
    assert (issued.endpoint, issued.access_key, issued.secret_key) == ("https://outside", "run", "run-secret")
    assert issued.expires is None
    assert issued.session_token == ""


def test_credentials_are_only_for_a_whole_run() -> None:
    with pytest.raises(ValueError, match="not the prefix of a run"):
        issue_run_credentials(StoreConfig("https://s3"), "runs/ns")
