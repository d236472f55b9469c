"""The events of the audit trail, in the shapes that docs/audit.md lists: one function per event.

Pure. Each function takes the object as read, before its status is written. It returns the same ``event`` name each time
it is called for the same event. Callers record the event first and write the status afterwards, so that a crash leads
to no duplicate record. ``at`` is the time of the event; the default is now.
"""

from assay.controllers.audit.events.aliases import (
    Pointed,
    alias_bound,
    alias_degraded,
    alias_released,
    binding_refused,
    judged_by,
    moved_by,
    rollback_refused,
    rolled_back,
)
from assay.controllers.audit.events.policies import policy_changed
from assay.controllers.audit.events.runs import run_ended
from assay.controllers.audit.events.shape import NOT_SEEN, UNKNOWN
from assay.controllers.audit.events.versions import (
    approval_given,
    approval_revoked,
    registration_refused,
    version_archived,
    version_deleted,
    version_registered,
)

__all__ = [
    "NOT_SEEN",
    "UNKNOWN",
    "Pointed",
    "alias_bound",
    "alias_degraded",
    "alias_released",
    "approval_given",
    "approval_revoked",
    "binding_refused",
    "judged_by",
    "moved_by",
    "policy_changed",
    "registration_refused",
    "rollback_refused",
    "rolled_back",
    "run_ended",
    "version_archived",
    "version_deleted",
    "version_registered",
]
