"""Seals a token into cookies: encrypted and authenticated, so that no browser and nobody with the cookie can read it.

AES-256-GCM with a random nonce. A sealed token longer than a cookie may be is split over several.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: The prefix makes browsers insist on Secure, Path=/ and no Domain: no other host can set such a cookie.
COOKIE: Final = "__Host-assay"
#: Browsers drop cookies of more than 4096 bytes, with name and attributes.
_PIECE: Final = 3800
_MOST_PIECES: Final = 6
_NONCE: Final = 12
_ABOUT: Final = b"assay session v1"
#: For tokens that do not say when they expire.
_LONGEST_SECONDS: Final = 12 * 3600


class Seal:
    """Seals and opens with one key, which all replicas share."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(_ABOUT + secret).digest())

    def close(self, token: str, now: float | None = None) -> tuple[dict[str, str], int]:
        """Return the cookies of a token, and the seconds until they end: with the token. Raises ValueError if too long.

        The time is not checked here, because the API server checks the token at every use.
        """
        now = time.time() if now is None else now
        end = min(expiry(token) or now + _LONGEST_SECONDS, now + _LONGEST_SECONDS)
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, json.dumps([end, token]).encode(), _ABOUT)
        text = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        if len(pieces) > _MOST_PIECES:
            raise ValueError("the token is too long for cookies")
        return {name_of(at): piece for at, piece in enumerate(pieces)}, max(0, int(end - now))

    def open(self, cookies: Mapping[str, str], now: float | None = None) -> str:
        """Return the token of cookies; "" if there is none, if it has expired, or if it is not ours."""
        text = ""
        for at in range(_MOST_PIECES):
            piece = cookies.get(name_of(at), "")
            text += piece
            if len(piece) < _PIECE:
                break
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            end, token = json.loads(self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _ABOUT))
        except (ValueError, InvalidTag, TypeError):
            return ""
        return str(token) if end > (time.time() if now is None else now) else ""


def names() -> list[str]:
    """Return the names of all cookies that a session may have."""
    return [name_of(at) for at in range(_MOST_PIECES)]


def name_of(piece: int) -> str:
    """Return the name of the cookie with one piece."""
    return COOKIE if piece == 0 else f"{COOKIE}-{piece}"


def expiry(token: str) -> float | None:
    """Return when a JWT says that it expires, in unix seconds; None for other tokens. It is not verified."""
    try:
        body = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
        return float(found)
    except (IndexError, ValueError, KeyError, TypeError):
        return None
