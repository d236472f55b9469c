"""The addresses of data sets: percent-encoded and plain characters mean the same key. Light to import."""

import re
from typing import Final
from urllib.parse import unquote

_ENCODED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def decoded(uri: str) -> str:
    """Return an s3:// address with %XX decoded; a percent sign without two hexadecimal digits is itself.

    Bytes that are not UTF-8 stay encoded.
    """
    return _ENCODED.sub(_character, uri)


def _character(found: re.Match[str]) -> str:
    try:
        return unquote(found[0], errors="strict")
    except UnicodeDecodeError:
        return found[0]
