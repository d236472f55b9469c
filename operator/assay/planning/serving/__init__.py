"""What the operator sets in a workload that follows an alias, and the state of its rollout."""
