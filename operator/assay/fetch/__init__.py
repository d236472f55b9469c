"""The init container that brings a model to a server, or data sets to a training: verified, or nothing starts.

It reads a few places of the object store with credentials that can read nothing else. It does not talk to the
Kubernetes API, and it believes nothing that it reads there: what counts is the digest that the operator names.
`python -m assay.fetch` starts it.
"""
