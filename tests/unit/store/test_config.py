"""One clear error for each variable, and no secret in any text."""

from datetime import timedelta

import pytest

from assay.store.config import ConfigError, StoreConfig

pytestmark = pytest.mark.unit

FINE = {
    "ASSAY_STORE_ENDPOINT": "https://s3.example.com:9000/",
    "ASSAY_STORE_ACCESS_KEY": "key-of-the-operator",
    "ASSAY_STORE_SECRET_KEY": "secret-of-the-operator",
}


def test_defaults() -> None:
    config = StoreConfig.from_environment(FINE)
    assert (config.endpoint, config.host, config.secure) == (
        "https://s3.example.com:9000",
        "s3.example.com:9000",
        True,
    )
    assert (config.region, config.bucket, config.sts) == ("us-east-1", "assay", True)
    assert config.sts_duration == timedelta(hours=1)
    assert config.run_endpoint == config.sts_endpoint == config.endpoint


def test_secrets_are_never_shown() -> None:
    static = {
        "ASSAY_STORE_CREDENTIALS_MODE": "static",
        "ASSAY_STORE_RUN_ACCESS_KEY": "key-of-the-runs",
        "ASSAY_STORE_RUN_SECRET_KEY": "secret-of-the-runs",
    }
    shown = repr(StoreConfig.from_environment(FINE | static))
    assert "of-the" not in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ASSAY_STORE_ENDPOINT": ""}, "ASSAY_STORE_ENDPOINT is not set"),
        ({"ASSAY_STORE_ENDPOINT": "s3.example.com"}, "ASSAY_STORE_ENDPOINT is 's3.example.com'"),
        ({"ASSAY_STORE_ENDPOINT": "https://h/path"}, "without a path"),
        ({"ASSAY_STORE_ENDPOINT": "https://u:pw@h"}, "'https://…@h'"),
        ({"ASSAY_STORE_ENDPOINT": "http://[::"}, "ASSAY_STORE_ENDPOINT"),
        ({"ASSAY_STORE_RUN_ENDPOINT": "ftp://h"}, "ASSAY_STORE_RUN_ENDPOINT"),
        ({"ASSAY_STORE_ACCESS_KEY": " "}, "ASSAY_STORE_ACCESS_KEY is not set"),
        ({"ASSAY_STORE_SECRET_KEY": ""}, "ASSAY_STORE_SECRET_KEY is not set"),
        ({"ASSAY_STORE_BUCKET": "My_Bucket"}, "ASSAY_STORE_BUCKET is 'My_Bucket'"),
        ({"ASSAY_STORE_STS_SECONDS": "60"}, "ASSAY_STORE_STS_SECONDS is '60'"),
        ({"ASSAY_STORE_STS_SECONDS": "x"}, "ASSAY_STORE_STS_SECONDS is 'x'"),
        ({"ASSAY_STORE_CREDENTIALS_MODE": "none"}, "must be sts or static"),
        ({"ASSAY_STORE_CREDENTIALS_MODE": "static"}, "ASSAY_STORE_RUN_ACCESS_KEY is not set"),
    ],
)
def test_a_bad_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StoreConfig.from_environment(FINE | change)
    assert message in str(caught.value)


def test_an_unreadable_ca_file_is_named() -> None:
    config = StoreConfig.from_environment(FINE | {"ASSAY_STORE_CA_FILE": "/nowhere/ca.pem"})
    with pytest.raises(ConfigError, match=r"ASSAY_STORE_CA_FILE: cannot read certificates from /nowhere/ca\.pem"):
        config.authorities()
