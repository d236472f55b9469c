"""The signature of a record: the last field of its line, over the bytes of the line without it. No I/O, and no keys.

    {"version":1,…,"previous":"…","signature":{"key":"<sha256 of the public key>","value":"<base64>"}}

The chain hashes the whole line. So a signed record can be neither changed nor copied to another place, and whoever
holds the store and not the key can append nothing that passes for the operator's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import NamedTuple

_SIGNED = re.compile(rb'(?s)(\{.*),"signature":\{"key":"([0-9a-f]{64})","value":"([A-Za-z0-9+/]{1,500}={0,2})"\}\}')


class Signature(NamedTuple):
    """The id of the key, and what it has signed the bytes with."""

    key: str
    value: bytes


#: Signs bytes; None where there is no key to sign with.
Signer = Callable[[bytes], Signature | None]
#: Returns "" when a signature over bytes is the operator's, else why it is not.
Checker = Callable[[Signature, bytes], str]


def attach(line: bytes, signature: Signature | None) -> bytes:
    """Return the line with its signature. ``line`` is an object of JSON with at least one field."""
    if signature is None:
        return line
    value = base64.b64encode(signature.value)
    return line[:-1] + b',"signature":{"key":"' + signature.key.encode() + b'","value":"' + value + b'"}}'


def detach(data: bytes) -> tuple[bytes, Signature | None]:
    """Return the line without its signature, and the signature; the line as it is when it has none."""
    found = _SIGNED.fullmatch(data)
    if not found:
        return data, None
    return found[1] + b"}", Signature(found[2].decode(), base64.b64decode(found[3]))
