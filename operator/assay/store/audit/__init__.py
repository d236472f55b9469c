"""The audit trail: one record per action, chained by hash. A record says who did what to which version and when.

Records are at `audit/<namespace>/<sequence as 12 digits>.json`. Each contains the sha256 of the previous record's
bytes. A conditional request writes it, so two writers can never continue the same record. Nothing here changes or
deletes a record. `python -m assay.store.audit` verifies, lists and exports a trail.
"""

from assay.store.audit.chain import Finding, Report, verify, verify_store
from assay.store.audit.queries import Binding, at
from assay.store.audit.records import EMPTY, Action, AuditEvent, AuditObject, AuditRecord, Head
from assay.store.audit.settings import AuditSettings
from assay.store.audit.trail import RECENT, Appended, AuditTrail

__all__ = [
    "EMPTY",
    "RECENT",
    "Action",
    "Appended",
    "AuditEvent",
    "AuditObject",
    "AuditRecord",
    "AuditSettings",
    "AuditTrail",
    "Binding",
    "Finding",
    "Head",
    "Report",
    "at",
    "verify",
    "verify_store",
]
