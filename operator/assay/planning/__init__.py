"""Decisions, as pure functions: search space → runs, Run → Job, what was seen → status.

Nothing here does I/O, reads a clock or draws without a seed: the same arguments always give the same result.
"""
