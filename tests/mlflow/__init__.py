"""The recorder's MLflow endpoint, tested with MLflow's own clients."""
