"""The init container that brings a registered model to a server: every byte verified, or the server does not start.

It reads one prefix of the object store with credentials that can read nothing else. It does not talk to the
Kubernetes API, and it believes nothing that it reads there: what counts is the digest that the operator names.
`python -m assay.fetch` starts it.
"""
