"""The root of the errors that end a question or a command, and its kinds.

The layers above raise them; the command line turns them into exit codes, the server into HTTP statuses.
"""


class AssayError(Exception):
    """A question without an answer. ``message`` says what is wrong and where, ``hint`` what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class InvalidRequest(AssayError):
    """The question itself is wrong: an option, an expression or a file."""


class ObjectNotFound(AssayError):
    """What the question is about does not exist."""


class PermissionDenied(AssayError):
    """The user is signed in, but not allowed."""


class Unreachable(AssayError):
    """The API server or the store does not answer."""


class RequestFailed(AssayError):
    """The request was refused, or what it is about has failed."""
