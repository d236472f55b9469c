"""The index: the runs of a cluster as columns in memory, kept current by a watch.

It holds nothing that the API server does not have, and may be rebuilt at any time.
"""
