"""The signatures of the commands: what is typed, and what `--help` says. Imports nothing that takes time."""
