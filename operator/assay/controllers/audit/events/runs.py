"""Events of runs."""

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import RunStatus
from assay.controllers.audit.events.shape import label, new_event
from assay.store.audit import Action, AuditEvent


def run_ended(run: Raw, status: RunStatus, outcome: str = "", *, operator: str) -> AuditEvent:
    """A run ended. The actor is its owner, or the operator if it has no owner.

    ``outcome`` defaults to the run's phase; it is ``Deleted`` for a deleted run.
    """
    spec, model, record = run["spec"], status.model, status.record
    after: Raw = {
        "outcome": outcome or status.phase,
        "reason": status.reason,
        "experiment": label(run, names.LABEL_EXPERIMENT) or None,
        "owner": spec.get("owner"),
        "model": model.to_dict() if model else None,
        "record": record.uri if record else None,
    }
    digests = {"artifact": model.digest if model else None, "manifest": record.manifest_digest if record else None}
    return new_event(
        run,
        names.RUN,
        Action.RUN_ENDED,
        "ended",
        actor=spec.get("owner") or operator,
        digests=digests,
        after=after,
        reason=status.message or "",
        at=status.completion_time,
    )
