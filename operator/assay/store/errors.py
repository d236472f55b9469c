"""What can go wrong with the store, told apart by what the caller can do about it.

Every message is one line that names the endpoint, the bucket and the key, and never a credential.
"""


class StoreError(Exception):
    """The store refused this one request, and would refuse it again: a bad key, a bad request."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or answers that it cannot serve now. Worth a retry."""


class Busy(StoreUnavailable):
    """Another writer is creating the same key at this moment."""


class StoreDenied(StoreError):
    """The credentials are unknown, have expired, or do not allow the request."""


class NotFound(StoreError):
    """No such key, or no such bucket."""


class ArtifactsExpired(NotFound):
    """The artifacts of the run were kept for as long as its retention said, and are deleted."""


class AlreadyExists(StoreError):
    """The key was to be created, and is there already."""


class TooLarge(StoreError):
    """The object is larger than the reader is willing to hold in memory."""


class UploadLost(StoreError):
    """The store no longer knows the multipart upload. The object has to be sent again from its start."""


class SourceError(Exception):
    """The local file could not be read, or not in full. The store is not to blame."""


class SourceChanged(SourceError):
    """The local file became shorter while it was uploaded."""


class RecordError(Exception):
    """A record is incomplete or altered: a file is missing, or is not as its manifest says."""


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the variable."""
