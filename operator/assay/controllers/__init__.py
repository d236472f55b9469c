"""The operator: kopf's event handlers feed a work queue, and reconcilers process it.

Level-triggered: a reconciler reads the current state, asks ``assay.planning`` for the next step, and executes it.
Reconciling is idempotent, also after a crash at any point.
"""
