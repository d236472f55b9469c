"""Queries about files: those of a run or a version in the store, and whether they are intact."""
