"""Why something is not signed, or its signature does not count. Every message is for people, and never shows a key."""


class SigningError(Exception):
    """Base of the others."""


class NoKey(SigningError):
    """There is no private key to sign with."""


class KeyUnusable(SigningError):
    """A file of keys cannot be read, or holds other keys than P-256."""


class KeyUnknown(SigningError):
    """The signature is by a key that is not among the known ones."""


class SignatureMissing(SigningError):
    """There is no signature."""


class SignatureInvalid(SigningError):
    """The signature, or what it is over, is not what it should be."""
