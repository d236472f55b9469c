"""The object store: key layout, records, scoped credentials, verification.

Works with any S3-compatible store. Knows nothing of Kubernetes: whoever needs the store in the operator goes
through `assay.store.aio`, because everything else here blocks.
"""
