"""Errors of fetching. Each message is the single line that the user sees."""


class FetchError(Exception):
    """The bytes are not the approved ones, or cannot be written. A retry would not help."""


class Mismatch(FetchError):
    """The digest of a data set differs from the declared one."""


class Missing(FetchError):
    """The data set does not exist or cannot be read with these credentials."""


class StoreSilent(FetchError):
    """The store was unreachable, or refused the credentials, for the whole retry period."""


class SettingsError(ValueError):
    """A variable is missing or invalid. The message names it."""
