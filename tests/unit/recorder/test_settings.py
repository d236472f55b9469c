"""The environment of the recorder's container."""

import pytest

from assay.controllers.environment import OperatorEnvironment
from assay.recorder.collectors.mlflow import collector
from assay.recorder.session import POLL_SECONDS
from assay.recorder.settings import Settings, SettingsError

pytestmark = pytest.mark.unit

FINE = {"ASSAY_POD": "r-abc", "ASSAY_PREFIX": "runs/ns/_/r/u/intake/r-abc"}


def test_defaults() -> None:
    settings = Settings.from_environment(FINE)
    assert str(settings.directory) == "/assay"
    assert str(settings.spool) == "/var/lib/assay"
    assert (settings.flush_seconds, settings.part_bytes, settings.settle_seconds) == (3.0, 4 << 20, 5.0)


def test_the_status_of_a_run_is_at_most_15_seconds_old() -> None:
    """What docs/collectors.md says: the source, the recorder's summary and the operator each wait once."""
    operator = OperatorEnvironment.model_fields["observe_seconds"].default
    recorder = Settings.from_environment(FINE).flush_seconds + POLL_SECONDS + collector._READ_SECONDS
    assert operator + recorder < 15


@pytest.mark.parametrize(("grace", "finish"), [("1", 0.5), ("30", 27.0), ("600", 595.0)])
def test_the_end_leaves_a_margin_of_the_grace_period(grace: str, finish: float) -> None:
    assert Settings.from_environment(FINE | {"ASSAY_GRACE_SECONDS": grace}).finish_seconds == finish


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ASSAY_POD": ""}, "ASSAY_POD is not set"),
        ({"ASSAY_PREFIX": ""}, "ASSAY_PREFIX is not set"),
        ({"ASSAY_PREFIX": "runs/x"}, "ASSAY_PREFIX: "),
        ({"ASSAY_FLUSH_SECONDS": "soon"}, "ASSAY_FLUSH_SECONDS is 'soon'"),
        ({"ASSAY_GRACE_SECONDS": "nan"}, "ASSAY_GRACE_SECONDS is 'nan'"),
        ({"ASSAY_PART_BYTES": "-1"}, "ASSAY_PART_BYTES is '-1'"),
    ],
)
def test_a_bad_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(FINE | change)
    assert message in str(caught.value)
