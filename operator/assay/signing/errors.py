"""Errors of signing and verification. Messages are written for users and never contain a private key."""


class SigningError(Exception):
    """Base class of the errors of this package."""


class NoKey(SigningError):
    """There is no private key to sign with."""


class KeyUnusable(SigningError):
    """A key file cannot be read, or holds a key that is not P-256."""


class KeyUnknown(SigningError):
    """The signature was made with an unknown key."""


class SignatureMissing(SigningError):
    """There is no signature."""


class SignatureInvalid(SigningError):
    """The signature does not verify, or its content is not the expected one."""
