"""The init container that downloads and verifies a model for a server, or data sets for a training.

The pod starts only if verification succeeds. The container reads the store with credentials that are restricted to the
prefixes it needs, and trusts nothing it reads: it checks everything against the digest that the operator passes. It
does not call the Kubernetes API. `python -m assay.fetch` starts it.
"""
