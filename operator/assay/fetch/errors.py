"""Why a model could not be fetched. Every message is the one line that a person gets to see."""


class FetchError(Exception):
    """The bytes are not those that were approved, or cannot be written. Trying again would not help."""


class StoreSilent(FetchError):
    """The store could not be reached, or did not let us in, for as long as we were told to try."""


class SettingsError(ValueError):
    """A variable is missing or wrong. The message names it."""
