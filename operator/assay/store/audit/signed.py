"""The signature of a record: the last field of its line. It covers the bytes of the line without it. No I/O, no keys.

    {"version":1,…,"previous":"…","signature":{"key":"<sha256 of the public key>","value":"<base64>"}}

The chain hashes the whole line, so nobody can change a signed record or copy it to another position. Anyone who
controls the store but lacks the key cannot append a record that passes as the operator's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import NamedTuple

_SIGNED = re.compile(rb'(?s)(\{.*),"signature":\{"key":"([0-9a-f]{64})","value":"([A-Za-z0-9+/]{1,500}={0,2})"\}\}')


class Signature(NamedTuple):
    """The id of the key, and the signature's bytes."""

    key: str
    value: bytes


#: Signs bytes. Returns None if there is no key.
Signer = Callable[[bytes], Signature | None]
#: Checks a signature over bytes. Returns "" if it is the operator's, otherwise the reason why not.
Checker = Callable[[Signature, bytes], str]


def attach(line: bytes, signature: Signature | None) -> bytes:
    """Return the line with its signature. ``line`` is a JSON object with at least one field."""
    if signature is None:
        return line
    value = base64.b64encode(signature.value)
    return line[:-1] + b',"signature":{"key":"' + signature.key.encode() + b'","value":"' + value + b'"}}'


def detach(data: bytes) -> tuple[bytes, Signature | None]:
    """Return the line without its signature, and the signature. An unsigned line is returned unchanged, with None."""
    found = _SIGNED.fullmatch(data)
    if not found:
        return data, None
    return found[1] + b"}", Signature(found[2].decode(), base64.b64decode(found[3]))
