"""Questions about runs and experiments: read, filter, sort, compare."""
