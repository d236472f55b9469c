"""Reads a page of a list item by item: all of them as objects would take five times the memory of the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from assay.api.objects import Raw

_DECODER: Final = json.JSONDecoder()
_ITEMS, _SPACE = re.compile(r'"items"\s*:\s*\['), re.compile(r"[\s,]*")
#: The items begin within this many characters: kind, version and metadata may come before them.
_HEAD: Final = 20_000


class ListPage:
    """One page. Its ``metadata`` is known after all items were read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.metadata: Raw = {}

    def __iter__(self) -> Iterator[Raw]:
        """Yield the items. Raises ValueError for a text that is no list."""
        text = self._text
        start = _ITEMS.search(text, 0, _HEAD)
        if start is None:
            found = json.loads(text)
            self.metadata = found["metadata"]
            yield from found.get("items") or []
            return
        at = start.end()
        while True:
            at = _after_space(text, at)
            if text[at : at + 1] == "]":
                break
            item, at = _DECODER.raw_decode(text, at)
            yield item
        self.metadata = json.loads(text[: start.end()] + text[at:])["metadata"]


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
