"""The commands for runs and experiments: list, compare, plot, rerun, watch."""
