"""The object store: key layout, records, scoped credentials, verification.

It works with any S3-compatible store and does not depend on Kubernetes. The operator uses it through `assay.store.aio`,
because all other functions block.
"""
