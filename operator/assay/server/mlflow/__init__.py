"""The reading half of MLflow's REST API, and its registry, for unmodified clients: with the caller's own rights."""
