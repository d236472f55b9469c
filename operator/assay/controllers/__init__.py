"""The operator: kopf feeds what changes into a work queue, reconcilers move the world one step.

Level-triggered: a reconciler looks at the world as it is, asks ``assay.planning`` what to do, and does it. Running
it twice, or after a crash at any point, ends in the same place.
"""
