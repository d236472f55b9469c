"""Permanent launch failures: the run ends with a reason and a message."""

from typing import ClassVar


class Refused(Exception):
    """A run is not launched. The message is for users; `reason` is the reason in the run's status."""

    reason: ClassVar[str]
