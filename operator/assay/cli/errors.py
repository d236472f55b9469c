"""Errors that end a command, and the exit codes for scripts."""

from typing import Final

from assay.api.errors import (
    AssayError,
    InvalidRequest,
    ObjectNotFound,
    PermissionDenied,
    Unreachable,
)

OK: Final = 0
#: The request was refused, or its object failed.
FAILED: Final = 1
#: The command line or a file is invalid.
USAGE: Final = 2
NOT_FOUND: Final = 3
#: Authenticated, but not allowed.
FORBIDDEN: Final = 4
#: The API server or the store cannot be reached.
UNREACHABLE: Final = 5
#: The answer is no: requirements are not met, bytes differ, the trail has a gap.
NO: Final = 6
INTERRUPTED: Final = 130

_CODES: Final = {
    InvalidRequest: USAGE,
    ObjectNotFound: NOT_FOUND,
    PermissionDenied: FORBIDDEN,
    Unreachable: UNREACHABLE,
}
_STATUS_CODES: Final = {0: UNREACHABLE, 401: FORBIDDEN, 403: FORBIDDEN, 404: NOT_FOUND}


class CliError(AssayError):
    """A command that cannot continue. ``code`` is the exit code."""

    def __init__(self, message: str, *, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def exit_code(error: AssayError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, CliError):
        return error.code
    status = getattr(error, "status", None)  # set on ApiError, which takes time to import
    if status is not None:
        return _STATUS_CODES.get(status, FAILED)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED)
