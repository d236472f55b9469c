"""The sidecar that records what a training container writes and streams it to the object store.

It runs beside the training in every pod. It must be cheap, must survive being killed at any point, and must never slow
down or fail the training. It does not call the Kubernetes API and does not trust the content of the shared volume.
`python -m assay.recorder` starts it.
"""
