"""Why something could not be fetched. Every message is the one line that a person gets to see."""


class FetchError(Exception):
    """The bytes are not those that were approved, or cannot be written. Trying again would not help."""


class Mismatch(FetchError):
    """A data set has another digest than the one that was declared."""


class Missing(FetchError):
    """There is no such data set, or none that may be read."""


class StoreSilent(FetchError):
    """The store could not be reached, or did not let us in, for as long as we were told to try."""


class SettingsError(ValueError):
    """A variable is missing or wrong. The message names it."""
