"""Which runs become versions of a model, and what the status of a version says."""
