"""The audit trail: who did what to which version and when, one record each, chained by hash.

Records lie under `audit/<namespace>/<sequence as 12 digits>.json`. Each holds the sha256 of the bytes of the one
before, and is written with a conditional request, so that two writers can never continue the same record.
Nothing here changes or deletes a record. `python -m assay.store.audit` verifies, lists and exports a trail.
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
