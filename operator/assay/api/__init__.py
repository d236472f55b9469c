"""The resources of Assay as pydantic models: the one source of truth from which ``crds/`` is generated.

This package knows the shapes and the words. It makes no decision, reads no cluster and no store.
"""
