"""The sidecar that records what a training container writes, and streams it into the object store.

It runs beside training in every pod, so it must be cheap, must survive being killed at any point, and must
never slow or fail the training. It does not talk to the Kubernetes API, and it trusts nothing that it finds
in the shared volume. `python -m assay.recorder` starts it.
"""
