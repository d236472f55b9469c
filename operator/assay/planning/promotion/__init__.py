"""Whether an alias may point to a version: policies, approvals, expressions, verdicts and bindings."""
