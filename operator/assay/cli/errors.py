"""What ends a command early: one line of what is wrong, one of what to do, and a code for scripts."""

from typing import Final

OK: Final = 0
#: The request was refused, or what it was about has failed.
FAILED: Final = 1
#: The command line or a file is wrong.
USAGE: Final = 2
NOT_FOUND: Final = 3
#: Signed in, but not allowed.
FORBIDDEN: Final = 4
#: The API server or the store cannot be reached.
UNREACHABLE: Final = 5
#: The question was answered, and the answer is no: requirements are not met, bytes differ, the trail has a gap.
NO: Final = 6
INTERRUPTED: Final = 130


class CliError(Exception):
    """A command that cannot go on. ``hint`` says what to do next, ``code`` is the exit code."""

    def __init__(self, message: str, *, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code
