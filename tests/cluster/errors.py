"""The one error of the local cluster. Its message says what is missing or broken, and what to do about it."""


class ClusterError(Exception):
    """The cluster cannot be built, started, reached or stopped; the message is written for a person."""
