"""Rebuilds what a cluster has forgotten: ModelVersions, ModelAliases and PromotionPolicies, as manifests.

The bytes of a version, their manifest and who holds its number lie in the store; who owned it, what it was made from
and which alias pointed to it is in the audit trail. Nothing here writes to the store or to a cluster: a person reads
the manifests and applies them. Approvals cannot be rebuilt: people give them, in their own names.
"""

from assay.store.restore.gathering import restore
from assay.store.restore.history import History, read_history
from assay.store.restore.manifests import Restored

__all__ = ["History", "Restored", "read_history", "restore"]
