"""The Kubernetes API as raw JSON: one layer for the operator (asynchronous) and for users (synchronous)."""
