"""Events of model versions and of the approvals in their annotations."""

from datetime import datetime

from assay.api import names
from assay.api.approvals import read_approval
from assay.api.modelversion import ApprovalStatus, ArtifactStatus, Provenance
from assay.api.objects import Raw
from assay.controllers.audit.events.shape import NOT_SEEN, UNKNOWN, digest_of, new_event, short, time_text, transition
from assay.store.audit import Action, AuditEvent


def version_registered(
    version: Raw,
    artifact: ArtifactStatus,
    provenance: Provenance | None = None,
    *,
    actor: str = "",
    verified: bool | None = None,
    at: datetime | None = None,
) -> AuditEvent:
    """A version's bytes were copied and verified.

    ``provenance`` is the run's, if it differs from the spec's. ``verified`` says whether the run's record confirms the
    provenance. The actor defaults to the owner.
    """
    spec = version["spec"]
    # A manifest may contain less provenance than its run.
    said = provenance.to_dict() if provenance else spec.get("provenance") or {}
    run = spec.get("run")
    after: Raw = {
        "run": run,
        "experiment": (run or {}).get("experiment"),
        "owner": spec.get("owner"),
        "uri": artifact.uri,
        "provenanceVerified": verified,
        **{name: said.get(name) for name in ("source", "datasets", "parameters", "metrics", "images")},
    }
    return new_event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_REGISTERED,
        "registered",
        actor=actor or spec.get("owner") or UNKNOWN,
        digests={"artifact": artifact.digest or digest_of(version), "manifest": artifact.manifest_digest},
        after=after,
        at=at,
    )


def registration_refused(subject: Raw, reason: str, *, operator: str, kind: str = names.MODEL_VERSION) -> AuditEvent:
    """A version's bytes were refused. If a run could not become a version, ``subject`` is the run and ``kind`` Run."""
    return new_event(
        subject,
        kind,
        Action.REGISTRATION_REFUSED,
        f"registration-refused/{short(reason)}",
        actor=operator,
        digests={"artifact": digest_of(subject)},
        after={"owner": subject["spec"].get("owner")},
        reason=reason,
    )


def version_archived(version: Raw, archived: bool, *, at: datetime | None = None) -> AuditEvent:
    """A version was archived or unarchived. ``version`` still has its previous condition Archived."""
    return new_event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_ARCHIVED,
        f"archived/{archived}/after-{transition(version, names.ARCHIVED)}",
        digests={"artifact": digest_of(version)},
        before={"archived": not archived},
        after={"archived": archived},
        reason=NOT_SEEN,
        at=at,
    )


def version_deleted(version: Raw, *, at: datetime | None = None) -> AuditEvent:
    """A version was deleted. Its number stays taken."""
    return new_event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_DELETED,
        "deleted",
        digests={"artifact": digest_of(version)},
        before={"owner": version["spec"].get("owner"), "run": version["spec"].get("run")},
        reason=NOT_SEEN,
        at=at,
    )


def approval_given(version: Raw, approval: ApprovalStatus) -> AuditEvent:
    """An approval was seen for the first time. The record of an invalid one has the digest in the approval, if any."""
    key = f"{approval.alias}{names.APPROVAL_SUFFIX}{approval.id}"
    read = read_approval(key, (version["metadata"].get("annotations") or {}).get(key) or "")
    digest = digest_of(version) if approval.valid else (read.digest if read else None)
    return new_event(
        version,
        names.MODEL_VERSION,
        Action.APPROVAL_GIVEN,
        # The status counts the changes of its approvals: if the same approval is revoked and given again, it is a new
        # event, but one that the operator did not get to write into the status is not. Its time is not known then.
        f"approval/{key}/{approval.fingerprint[:32]}/{(version.get('status') or {}).get('approvalChanges') or 0}",
        actor=approval.approver,
        digests={"artifact": digest},
        after={"alias": approval.alias, "id": approval.id, "approver": approval.approver, "valid": approval.valid},
        reason=read.comment if read else "",
        at=approval.since,
    )


def approval_revoked(version: Raw, approval: ApprovalStatus, *, at: datetime | None = None) -> AuditEvent:
    """A known approval was removed or changed."""
    key = f"{approval.alias}{names.APPROVAL_SUFFIX}{approval.id}"
    return new_event(
        version,
        names.MODEL_VERSION,
        Action.APPROVAL_REVOKED,
        f"revoked/{key}/{approval.fingerprint[:32]}/{time_text(approval.since)}",
        digests={"artifact": digest_of(version) if approval.valid else None},
        before={"alias": approval.alias, "id": approval.id, "approver": approval.approver},
        reason=NOT_SEEN,
        at=at,
    )
