"""The end of a run's log, and how to follow it."""
