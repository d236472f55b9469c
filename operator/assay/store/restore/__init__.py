"""Rebuilds lost objects of a cluster as manifests: ModelVersions, ModelAliases and PromotionPolicies.

The store has the bytes of a version, their manifest, and the holder of its number. The audit trail has the owner, the
provenance, and the aliases that pointed to the version. This package does not write to the store or to a cluster: a
person reviews the manifests and applies them. Approvals cannot be rebuilt: people must give them again themselves.
"""

from assay.store.restore.gathering import restore
from assay.store.restore.history import History, read_history
from assay.store.restore.manifests import Restored

__all__ = ["History", "Restored", "read_history", "restore"]
