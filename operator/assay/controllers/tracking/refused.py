"""What keeps a run from being launched for good: it ends with a reason, and a sentence for people."""

from typing import ClassVar


class Refused(Exception):
    """A run is not launched. The message is for people; `reason` is the run's."""

    reason: ClassVar[str]
