"""The root of the errors that end a query or a command, and its subclasses.

The layers above raise them. The command line maps them to exit codes, the server to HTTP statuses.
"""


class AssayError(Exception):
    """A query or command failed. ``message`` says what is wrong and where, ``hint`` what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class InvalidRequest(AssayError):
    """The request itself is invalid: an option, an expression or a file."""


class ObjectNotFound(AssayError):
    """The requested object does not exist."""


class PermissionDenied(AssayError):
    """The user is authenticated but not authorized."""


class Unreachable(AssayError):
    """The API server or the store does not answer."""


class RequestFailed(AssayError):
    """The request was refused, or the operation failed."""
