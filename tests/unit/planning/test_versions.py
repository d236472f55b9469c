from datetime import datetime, timedelta
from typing import Any

import pytest

from assay.api import names
from assay.api.common import Condition
from assay.api.modelversion import ArtifactStatus, HeldStatus, ModelVersionStatus, Provenance
from assay.planning.models import versions
from assay.planning.models.versions import MAX_ALIASES, Flag, Refused
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

LATER = NOW + timedelta(hours=1)
DIGEST = "sha256:" + "a" * 64
ARTIFACT = ArtifactStatus(uri="s3://assay/models/ml/digits/v1/", digest=DIGEST, files=2, bytes=7)
FROM_RUN: Flag = ("True", names.FROM_RUN, "it matches the record of run r")


def copying(message: str = "the bytes are being copied", now: datetime = NOW) -> ModelVersionStatus:
    return versions.copying(ModelVersionStatus(), message, generation=1, now=now)


def registered(status: ModelVersionStatus | None = None, now: datetime = NOW) -> ModelVersionStatus:
    return versions.registered(status or copying(), ARTIFACT, None, FROM_RUN, generation=1, now=now)


def refused() -> ModelVersionStatus:
    refusal = Refused(names.DIGEST_MISMATCH, f"expected {DIGEST}")
    return versions.refused(copying(), refusal, generation=1, now=NOW)


def told(
    status: ModelVersionStatus, *held: HeldStatus, archived: bool = False, now: datetime = NOW
) -> tuple[ModelVersionStatus, dict[str, Condition]]:
    """Return the status as it is reported, and its conditions by type."""
    new = versions.summarise(status, list(held), archived=archived, generation=1, now=now)
    return new, {each.type: each for each in new.conditions}


def stretch(alias: str, to: datetime | None = None) -> HeldStatus:
    return HeldStatus(alias=alias, from_=NOW, to=to)


def test_a_version_is_pending_with_a_reason_until_its_bytes_are_registered() -> None:
    status, said = told(copying("the store cannot be asked"))
    assert (status.phase, status.message) == ("Pending", "the store cannot be asked")
    assert (said["ArtifactVerified"].status, said["ArtifactVerified"].reason) == ("Unknown", "Copying")
    assert (said["Ready"].status, said["Ready"].reason) == ("False", "Copying")
    status, said = told(ModelVersionStatus())
    assert (status.phase, said["Ready"].reason) == ("Pending", "NotYet")


def test_a_registered_version_is_ready_with_its_location() -> None:
    status, said = told(registered())
    assert (status.phase, status.message, status.registered, status.artifact) == ("Ready", None, NOW, ARTIFACT)
    assert said["ArtifactVerified"].message == "2 files, 7 bytes in s3://assay/models/ml/digits/v1/"
    assert [said[kind].status for kind in ("ArtifactVerified", "ProvenanceVerified", "Ready")] == ["True"] * 3
    assert said["Archived"].status == "False"


def test_the_provenance_of_the_run_is_kept() -> None:
    provenance = Provenance(parameters={"lr": 0.1})
    status = versions.registered(copying(), ARTIFACT, provenance, FROM_RUN, generation=1, now=NOW)
    assert status.provenance == provenance


def test_a_refused_version_has_failed_permanently() -> None:
    status, said = told(refused())
    assert (status.phase, status.message) == ("Failed", f"expected {DIGEST}")
    assert (said["Ready"].status, said["Ready"].reason) == ("False", "DigestMismatch")


def test_bytes_are_registered_or_refused_once() -> None:
    assert [versions.is_settled(each) for each in (ModelVersionStatus(), copying(), registered(), refused())] == [
        False,
        False,
        True,
        True,
    ]
    assert versions.is_settled(told(registered(), archived=True)[0])


@pytest.mark.parametrize("before", [copying, registered, refused], ids=["pending", "ready", "failed"])
def test_archiving_overrides_any_phase_and_can_be_undone(before: Any) -> None:
    shown, _ = told(before())
    status, said = told(shown, archived=True)
    assert (status.phase, said["Archived"].status, said["Ready"].status) == ("Archived", "True", "False")
    assert status.message == "the label assay.dev/archived blocks new bindings"
    assert told(status)[0].phase == shown.phase
    assert told(status)[0].message == shown.message


def test_it_names_the_aliases_that_point_to_it_now() -> None:
    held = (stretch("staging"), stretch("champion"), stretch("canary", LATER))
    status, _ = told(registered(), *held)
    assert status.aliases == ["champion", "staging"]
    assert status.held == list(held)


def test_the_list_of_aliases_in_the_status_is_bounded() -> None:
    status, _ = told(registered(), *(stretch(f"a{number:03}") for number in range(80)))
    assert len(status.aliases) == MAX_ALIASES
    ModelVersionStatus.model_validate(status.to_dict())


def test_a_condition_changes_its_time_only_with_its_status() -> None:
    first, _ = told(copying())
    assert told(first, now=LATER)[0] == first, "a second look at the same world writes something"
    _, said = told(registered(first, now=LATER), now=LATER)
    assert said["Ready"].last_transition_time == said["ArtifactVerified"].last_transition_time == LATER
    assert said["Archived"].last_transition_time == NOW


def test_conditions_of_others_stay_as_they_are() -> None:
    signed = Condition(type=names.SIGNED, status="True", reason="Signed", last_transition_time=NOW)
    status = registered(ModelVersionStatus(conditions=[signed]), now=LATER)
    _, said = told(status, now=LATER)
    assert said["Signed"] == signed
    assert list(said) == sorted(said)
