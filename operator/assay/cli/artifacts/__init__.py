"""The commands for files of runs and versions: list, get, verify and pull."""
