"""The status of a model version: whether its bytes and provenance are verified, its phase, and its aliases."""

from datetime import datetime

from assay.api import names
from assay.api.modelversion import ArtifactStatus, HeldStatus, ModelVersionStatus, Provenance, SignatureStatus
from assay.planning.conditions import Status, conditions, counted, flag
from assay.planning.promotion.pointers import holding

_BYTES, _ORIGIN = names.ARTIFACT_VERIFIED, names.PROVENANCE_VERIFIED
#: Maximum number of aliases in the status.
MAX_ALIASES = 50
Flag = tuple[Status, str, str]


class Refused(Exception):
    """A version that can never be registered. ``reason`` is a CamelCase word, ``message`` a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def is_settled(status: ModelVersionStatus) -> bool:
    """Whether the version's bytes are registered or refused. Both are final."""
    return status.registered is not None or _flag(status, _BYTES)[0] == "False"


def copying(status: ModelVersionStatus, message: str, *, generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status while the bytes are being copied."""
    return _with(status, {_BYTES: ("Unknown", names.COPYING, message)}, generation, now)


def refused(status: ModelVersionStatus, refusal: Refused, *, generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status of a version whose bytes do not match its spec."""
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
    """Return the status of a version whose bytes are copied.

    ``origin`` is the condition ProvenanceVerified, ``recipe`` the condition Reproducible of its run.
    """
    text = f"{counted(artifact.files or 0, 'file')}, {artifact.bytes} bytes in {artifact.uri}"
    new = status.model_copy(update={"artifact": artifact, "registered": now, "provenance": provenance})
    flags = {_BYTES: flag(True, names.VERIFIED, text), _ORIGIN: origin}
    return _with(new, flags | ({names.REPRODUCIBLE: recipe} if recipe else {}), generation, now)


def signed(
    status: ModelVersionStatus, found: Flag, signature: SignatureStatus | None, *, generation: int, now: datetime
) -> ModelVersionStatus:
    """Return the status with the condition Signed. ``signature`` is None when there is no valid signature."""
    new = status.model_copy(update={"signature": signature})
    return _with(new, {names.SIGNED: found}, generation, now)


def summarise(
    status: ModelVersionStatus, held: list[HeldStatus], *, archived: bool, generation: int, now: datetime
) -> ModelVersionStatus:
    """Return the status with the phase and the aliases that point to the version.

    ``held`` are the periods in which an alias pointed to it.
    """
    new = status.model_copy(update={"held": held, "aliases": holding(held)[:MAX_ALIASES]})
    verified, reason, message = _flag(status, _BYTES)
    phase = {"True": "Ready", "False": "Failed"}.get(verified, "Pending")
    flags: dict[str, Flag] = {
        names.READY: flag(phase == "Ready" and not archived, names.LABELLED if archived else reason, message),
        names.ARCHIVED: flag(archived, names.LABELLED if archived else names.NOT_LABELLED, ""),
    }
    if archived:
        phase, message = "Archived", f"the label {names.LABEL_ARCHIVED} blocks new bindings"
    update = {"phase": phase, "message": (None if phase == "Ready" else message[:4000]) or None}
    return _with(new, flags, generation, now).model_copy(update=update)


def _flag(status: ModelVersionStatus, kind: str) -> Flag:
    for condition in status.conditions:
        if condition.type == kind:
            return condition.status, condition.reason, condition.message
    return "Unknown", names.NOT_YET, "waiting for the operator"


def _with(status: ModelVersionStatus, flags: dict[str, Flag], generation: int, now: datetime) -> ModelVersionStatus:
    """Return the status with these conditions replaced and all others unchanged."""
    others = [condition for condition in status.conditions if condition.type not in flags]
    new = conditions(status.conditions, flags, generation, now)
    merged = sorted([*others, *new], key=lambda condition: condition.type)
    return status.model_copy(update={"conditions": merged, "observed_generation": generation})
