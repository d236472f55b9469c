"""Rows as an answer has them, kept for the next answer: people and dashboards ask for the same runs again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from assay.server.index.searching import View
from assay.server.index.table import Table
from assay.server.runs import Shown

#: Bytes that are kept, and the most rows of an answer that are: larger ones would only replace all others.
_MOST_BYTES: Final = 16 << 20
_MOST_ROWS: Final = 5000
#: Rows that are made from columns at once.
_BATCH: Final = 500
#: The table, the number of the row, and the resource version of its run, which changes with each write.
_Key = tuple[Table, int, int, Shown]


class Encoded:
    """Encoded rows of all tables, those first that were asked for longest ago."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._most, self._size = most, 0

    def rows(self, view: View, numbers: Sequence[int], parts: Sequence[str], shown: Shown) -> list[bytes]:
        """Return rows of a table. Few of them are in memory as rows at the same time."""
        if len(numbers) > _MOST_ROWS:
            return self._made(view, numbers, parts, shown)
        keys = [(view.table, number, view.table.version_at(number), shown) for number in numbers]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        new = [key for key in keys if key not in known]
        made = dict(zip(new, self._made(view, [key[1] for key in new], parts, shown), strict=True))
        self._keep(made)
        return [known[key] if key in known else made[key] for key in keys]

    def _made(self, view: View, numbers: Sequence[int], parts: Sequence[str], shown: Shown) -> list[bytes]:
        batches = (view.rows(numbers[start : start + _BATCH], parts) for start in range(0, len(numbers), _BATCH))
        return [shown(row) for rows in batches for row in rows]

    def _keep(self, made: dict[_Key, bytes]) -> None:
        with self._lock:
            for key, text in made.items():
                if key not in self._kept:
                    self._kept[key] = text
                    self._size += len(text)
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])
