"""The patterns of the kinds' schemas in words, because a regular expression is no help to whom it refuses."""

from typing import Final

_NAME: Final = "lower-case letters, digits"

WORDS: Final = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": f"{_NAME} and '-', beginning and ending with a letter or digit",
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": f"{_NAME}, '-' and '.', beginning and ending with a letter or digit",
    r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$": f"{_NAME}, '-', '_' and '.', beginning and ending with a letter or digit",
    r"^([0-9]{1,6}[smhdw])+$": "a duration such as 90m, 24h, 7d or 1d12h",
    r"^/[^\s#]*$": "an absolute path without spaces and '#'",
    r"^sha256:[0-9a-f]{64}$": "sha256: and 64 hexadecimal digits",
    r"^[-a-z0-9*?]+$": f"{_NAME}, '-', and the wildcards '*' and '?'",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$": "a time of day from 00:00 to 24:00",
    r"^[A-Za-z][A-Za-z0-9_+/-]*$": "a time zone such as Europe/Berlin",
}
#: Longer patterns, by how they begin.
BEGINNINGS: Final = {
    r"^(s3://": "an address such as s3://bucket/folder/ (without '\\', '*' and '?') or https://host/file",
    r"^s3://": "an address such as s3://bucket/folder/, without spaces and the characters '\\', '?', '#' and '%'",
}


def in_words(pattern: str) -> str:
    """Return what a pattern demands; the pattern itself if nobody described it."""
    begun = (words for beginning, words in BEGINNINGS.items() if pattern.startswith(beginning))
    return WORDS.get(pattern) or next(begun, f"a text that matches {pattern}")
