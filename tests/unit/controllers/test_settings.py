from datetime import timedelta

import pytest

from assay.controllers.settings import Settings
from assay.store.config import ConfigError

pytestmark = pytest.mark.unit

STORE = {
    "ASSAY_STORE_ENDPOINT": "http://store:9000",
    "ASSAY_STORE_ACCESS_KEY": "operator",
    "ASSAY_STORE_SECRET_KEY": "not to be shown",
}
ENOUGH = {"ASSAY_IMAGE": "localhost/assay:dev", **STORE}


def test_only_the_image_and_the_store_are_required() -> None:
    found = Settings.from_environment(ENOUGH)
    assert found.job.image == "localhost/assay:dev"
    assert (found.job.pull_policy, found.job.grace_seconds) == ("IfNotPresent", 120)
    assert (found.job.max_files, found.job.max_bytes, found.pod_security) == (100_000, 1 << 40, "baseline")
    assert (found.namespaces, found.metrics_port, found.observe_seconds) == ((), 9095, 10.0)
    assert (found.api_concurrency, found.store_workers, found.retention_seconds) == (20, 8, 60.0)
    assert found.job.mlflow_points == 2_000_000
    assert "limits" in found.job.resources
    assert (found.namespace, found.audit.bucket, found.audit.retention) == ("assay-system", "", None)
    assert found.user == "system:serviceaccount:assay-system:assay-operator"
    assert Settings.from_environment(ENOUGH | {"ASSAY_USER": "dev"}).user == "dev"
    assert (found.capture_image, found.system_seconds, found.kubelet_ca_file) == ("auto", 15.0, "")
    assert (found.signing.files, found.signing.builder) == ([], "https://assay.dev/operator")


def test_all_settings_can_be_configured() -> None:
    found = Settings.from_environment(
        ENOUGH
        | {
            "ASSAY_IMAGE_PULL_POLICY": "Never",
            "ASSAY_GRACE_SECONDS": "600",
            "ASSAY_RECORDER_RESOURCES": '{"limits": {"memory": "1Gi"}}',
            "ASSAY_NAMESPACES": "vision, language,,audio",
            "ASSAY_METRICS_PORT": "0",
            "ASSAY_OBSERVE_SECONDS": "0.5",
            "ASSAY_LOG_SECONDS": "60",
            "ASSAY_API_CONCURRENCY": "50",
            "ASSAY_STORE_WORKERS": "2",
            "ASSAY_CAPTURE_IMAGE": "never",
            "ASSAY_SYSTEM_SECONDS": "60",
            "ASSAY_KUBELET_CA_FILE": "/ca.pem",
            "ASSAY_NAMESPACE": "ml-platform",
            "ASSAY_AUDIT_BUCKET": "assay-audit",
            "ASSAY_AUDIT_RETENTION_DAYS": "365",
            "ASSAY_SIGNING_KEY_FILE": "/keys/signing.key",
            "ASSAY_SIGNING_PUBLIC_KEYS_FILE": "/keys/public-keys.pem",
            "ASSAY_SIGNING_BUILDER": "https://ml.example.com/assay",
        }
    )
    assert (found.job.pull_policy, found.job.grace_seconds) == ("Never", 600)
    assert found.job.resources == {"limits": {"memory": "1Gi"}}
    assert (found.namespace, found.audit.bucket) == ("ml-platform", "assay-audit")
    assert found.user == "system:serviceaccount:ml-platform:assay-operator"
    assert found.audit.retention == timedelta(days=365)
    assert (found.capture_image, found.system_seconds, found.kubelet_ca_file) == ("never", 60.0, "/ca.pem")
    assert found.namespaces == ("vision", "language", "audio")
    assert found.signing.files == ["/keys/signing.key", "/keys/public-keys.pem"]
    assert found.signing.builder == "https://ml.example.com/assay"
    assert (found.metrics_port, found.observe_seconds, found.api_concurrency, found.store_workers) == (0, 0.5, 50, 2)
    assert found.log_seconds == 60


def test_secrets_are_not_shown() -> None:
    assert "not to be shown" not in repr(Settings.from_environment(ENOUGH))


def test_an_empty_variable_counts_as_unset() -> None:
    numbers = ["ASSAY_METRICS_PORT", "ASSAY_OBSERVE_SECONDS", "ASSAY_STORE_WORKERS", "ASSAY_RECORDER_RESOURCES"]
    assert Settings.from_environment(ENOUGH | dict.fromkeys(numbers, "")) == Settings.from_environment(ENOUGH)


def test_a_missing_recorder_image_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(STORE)
    assert str(caught.value) == ("ASSAY_IMAGE is not set: it is the image that the recorder in training pods runs from")


@pytest.mark.parametrize("name", STORE)
def test_a_missing_variable_of_the_store_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.from_environment({key: value for key, value in ENOUGH.items() if key != name})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ASSAY_GRACE_SECONDS", "soon", "it must be a valid integer, unable to parse string as an integer"),
        ("ASSAY_GRACE_SECONDS", "0", "it must be greater than or equal to 1"),
        ("ASSAY_METRICS_PORT", "70000", "it must be less than or equal to 65535"),
        ("ASSAY_METRICS_PORT", "9095.5", "it must be a valid integer, unable to parse string as an integer"),
        ("ASSAY_METRICS_AUTHENTICATION", "maybe", "it must be a valid boolean, unable to interpret input"),
        ("ASSAY_SYSTEM_SECONDS", "0.5", "it must be 0 or a number of 1 or more"),
        ("ASSAY_CAPTURE_IMAGE", "maybe", "it must be 'auto', 'always' or 'never'"),
        ("ASSAY_POD_SECURITY", "maybe", "it must be 'baseline', 'restricted' or 'off'"),
        ("ASSAY_OBSERVE_SECONDS", "0", "it must be greater than or equal to 0.1"),
        ("ASSAY_LOG_SECONDS", "0", "it must be greater than or equal to 0.5"),
        ("ASSAY_OBSERVE_SECONDS", "nan", "it must be a finite number"),
        ("ASSAY_OBSERVE_SECONDS", "inf", "it must be a finite number"),
        # None of them would ever do anything.
        ("ASSAY_API_CONCURRENCY", "0", "it must be greater than or equal to 1"),
        ("ASSAY_STORE_WORKERS", "-1", "it must be greater than or equal to 1"),
    ],
)
def test_an_invalid_number_is_refused_with_the_variable_name(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(ENOUGH | {name: text})
    assert str(caught.value) == f"{name} is {text!r}: {message}"


def test_sampling_can_be_switched_off() -> None:
    assert Settings.from_environment(ENOUGH | {"ASSAY_SYSTEM_SECONDS": "0"}).system_seconds == 0


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_resources_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^ASSAY_RECORDER_RESOURCES is .*: it must be JSON such as "):
        Settings.from_environment(ENOUGH | {"ASSAY_RECORDER_RESOURCES": text})
