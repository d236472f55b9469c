"""Kills a recorder in the process of the test, at one of the steps that its spool reports."""


class Killed(BaseException):
    """The process ends here."""


class Checkpoint:
    """What a spool calls before each step. Raises Killed at the step `at`, counted from 1; 0 means never."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self, _: str) -> None:
        self.at -= 1
        if self.at == 0:
            raise Killed
