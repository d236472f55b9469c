"""The status of a version: whether its bytes and its provenance are what they are said to be, and what it is now."""

from datetime import datetime

from assay.api import names
from assay.api.modelversion import ArtifactStatus, HeldStatus, ModelVersionStatus, Provenance, SignatureStatus
from assay.planning.conditions import Status, conditions, flag
from assay.planning.promotion.pointers import holding

_BYTES, _ORIGIN = names.ARTIFACT_VERIFIED, names.PROVENANCE_VERIFIED
#: That the status has room for.
MAX_ALIASES = 50
Flag = tuple[Status, str, str]


class Refused(Exception):
    """A version that can never be registered: why, as one word and in words."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def is_settled(status: ModelVersionStatus) -> bool:
    """Whether its bytes have been registered or refused; neither is done twice."""
    return status.registered is not None or _flag(status, _BYTES)[0] == "False"


def copying(status: ModelVersionStatus, message: str, *, generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status while the bytes are not there yet."""
    return _with(status, {_BYTES: ("Unknown", names.COPYING, message)}, generation, now)


def refused(status: ModelVersionStatus, refusal: Refused, *, generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status of a version whose bytes are not what it says."""
    return _with(status, {_BYTES: ("False", refusal.reason, refusal.message)}, generation, now)


def registered(
    status: ModelVersionStatus,
    artifact: ArtifactStatus,
    provenance: Provenance | None,
    origin: Flag,
    recipe: Flag | None = None,
    *,
    generation: int,
    now: datetime,
) -> ModelVersionStatus:
    """Return the status of a version whose bytes are copied. ``origin`` says what its provenance is worth.

    ``recipe`` is the condition Reproducible of its run.
    """
    text = f"{artifact.files} files, {artifact.bytes} bytes in {artifact.uri}"
    new = status.model_copy(update={"artifact": artifact, "registered": now, "provenance": provenance})
    flags = {_BYTES: flag(True, names.VERIFIED, text), _ORIGIN: origin}
    return _with(new, flags | ({names.REPRODUCIBLE: recipe} if recipe else {}), generation, now)


def signed(
    status: ModelVersionStatus, found: Flag, signature: SignatureStatus | None, *, generation: int, now: datetime
) -> ModelVersionStatus:
    """Return the status with what is known of the signature over its bytes; None when none counts."""
    new = status.model_copy(update={"signature": signature})
    return _with(new, {names.SIGNED: found}, generation, now)


def summarise(
    status: ModelVersionStatus, held: list[HeldStatus], *, archived: bool, generation: int, now: datetime
) -> ModelVersionStatus:
    """Return the status with what the version is now: its phase, and the aliases that point to it."""
    new = status.model_copy(update={"held": held, "aliases": holding(held)[:MAX_ALIASES]})
    verified, reason, message = _flag(status, _BYTES)
    phase = {"True": "Ready", "False": "Failed"}.get(verified, "Pending")
    flags: dict[str, Flag] = {
        names.READY: flag(phase == "Ready" and not archived, names.LABELLED if archived else reason, message),
        names.ARCHIVED: flag(archived, names.LABELLED if archived else names.NOT_LABELLED, ""),
    }
    if archived:
        phase, message = "Archived", f"the label {names.LABEL_ARCHIVED} bars new bindings"
    update = {"phase": phase, "message": (None if phase == "Ready" else message[:4000]) or None}
    return _with(new, flags, generation, now).model_copy(update=update)


def _flag(status: ModelVersionStatus, kind: str) -> Flag:
    for condition in status.conditions:
        if condition.type == kind:
            return condition.status, condition.reason, condition.message
    return "Unknown", names.NOT_YET, "the operator has not looked at it yet"


def _with(status: ModelVersionStatus, flags: dict[str, Flag], generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status with these conditions in the place of older ones, the others as they are."""
    kept = [condition for condition in status.conditions if condition.type not in flags]
    new = conditions(status.conditions, flags, generation, now)
    together = sorted([*kept, *new], key=lambda condition: condition.type)
    return status.model_copy(update={"conditions": together, "observed_generation": generation})
