"""What the operator sets in a workload that follows an alias, and how its rollout goes."""
