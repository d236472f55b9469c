"""Errors of the store, classified by what the caller can do about them.

Each message is one line that names the endpoint, the bucket and the key, and never contains a credential.
"""


class StoreError(Exception):
    """The store refused this request and would refuse it again: an invalid key, an invalid request."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or answers that it cannot serve the request now. Retry later."""


class Busy(StoreUnavailable):
    """Another writer is creating the same key."""


class StoreDenied(StoreError):
    """The credentials are unknown, have expired, or do not allow the request."""


class NotFound(StoreError):
    """No such key, or no such bucket."""


class ArtifactsExpired(NotFound):
    """The retention period of the run's artifacts is over, and they are deleted."""


class AlreadyExists(StoreError):
    """The key to create already exists."""


class TooLarge(StoreError):
    """The object is larger than the reader's limit."""


class UploadLost(StoreError):
    """The store no longer has the multipart upload. The object must be uploaded again from the beginning."""


class SourceError(Exception):
    """The local file could not be read completely. The store is not at fault."""


class SourceChanged(SourceError):
    """The local file became shorter during the upload."""


class RecordError(Exception):
    """A record is incomplete or altered: a file is missing or differs from its manifest."""


class ConfigError(ValueError):
    """The configuration is invalid. The message names the variable."""
