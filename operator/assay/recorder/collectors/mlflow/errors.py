"""Errors in the form that MLflow's clients expect: an error code, a message and an HTTP status."""

from __future__ import annotations

# MLflow's codes and their HTTP status. A client retries 429 and 5xx except 501, for minutes: a limit that will not go
# away by itself therefore has status 400.
_STATUS = {
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_EXHAUSTED": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
    "INTERNAL_ERROR": 500,
}


class MlflowError(Exception):
    """An error that the client shows as an MlflowException with the same code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUS[self.code]


def invalid(message: str) -> MlflowError:
    """The request has an invalid value."""
    return MlflowError("INVALID_PARAMETER_VALUE", message)


def missing(message: str) -> MlflowError:
    """What the request names does not exist."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", message)


def exists(message: str) -> MlflowError:
    """What the request creates exists already."""
    return MlflowError("RESOURCE_ALREADY_EXISTS", message)


def exhausted(message: str) -> MlflowError:
    """A limit is reached. The client does not retry."""
    return MlflowError("RESOURCE_EXHAUSTED", message)


def unavailable(message: str) -> MlflowError:
    """The request may succeed later. The client retries."""
    return MlflowError("TEMPORARILY_UNAVAILABLE", message)
