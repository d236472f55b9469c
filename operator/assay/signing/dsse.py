"""DSSE envelopes (protocol version 1.0.0) around in-toto statements: signing them, and reading untrusted ones.

https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from assay.api.objects import Raw
from assay.signing.errors import KeyUnknown, SignatureInvalid
from assay.signing.keys import Keyring

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_MAX_SIGNATURES = 20


class Opened(NamedTuple):
    """A signed statement and the id of the known key that signed it."""

    statement: Raw
    key: str


def pae(payload: bytes) -> bytes:
    """The pre-authentication encoding, which is signed: the type and the payload, each with its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(keyring: Keyring, statement: Raw) -> Raw:
    """Sign an in-toto statement and return the envelope. Raises NoKey."""
    payload = to_json(statement)
    signature = keyring.sign(pae(payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyring.signing_id, "sig": base64.b64encode(signature).decode()}],
    }


def open_envelope(keyring: Keyring, envelope: Any) -> Opened:
    """Verify an envelope with the known keys and return its statement. Raises KeyUnknown, SignatureInvalid."""
    payload, signatures = _parts(envelope)
    unknown: KeyUnknown | None = None
    for key, signature in signatures:
        try:
            keyring.verify(key, signature, pae(payload))
        except KeyUnknown as error:
            unknown = error
        else:
            return Opened(_statement(payload), key)
    raise unknown or SignatureInvalid("the envelope has no signature")


def _parts(envelope: Any) -> tuple[bytes, list[tuple[str, bytes]]]:
    try:
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise SignatureInvalid(f"the payload type of the envelope is not {PAYLOAD_TYPE}")
        signatures = [
            (str(each.get("keyid") or ""), _decode(each["sig"])) for each in envelope["signatures"][:_MAX_SIGNATURES]
        ]
        return _decode(envelope["payload"]), signatures
    except (KeyError, TypeError, AttributeError, ValueError):
        raise SignatureInvalid("it is not a DSSE envelope") from None


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != text:  # unused trailing bits could vary
        raise ValueError("not canonical base64")
    return data


def _statement(payload: bytes) -> Raw:
    found = read_json(payload)
    if not isinstance(found, dict) or found.get("_type") != STATEMENT_TYPE:
        raise SignatureInvalid("the signed payload is not an in-toto statement")
    return found


def read_json(data: bytes) -> Any:
    """Parse untrusted JSON. Raises SignatureInvalid."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise SignatureInvalid("it is not JSON") from None


def to_json(value: Any) -> bytes:
    """JSON on one line with sorted keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
