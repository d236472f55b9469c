"""What an address of the table of runs asks for. Everything that is seen is in it, so a view can be shared. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.datastructures import QueryParams

from assay.api.errors import InvalidRequest

#: Rows of a page, the most of one, and how many runs can be pinned.
LIMIT, _MOST_ROWS, _MOST_PINS = 50, 500, 20
#: What the charts of the page keep in its address.
CHARTS: Final = ("x", "smooth", "log", "from", "to", "right", "line", "band")


@dataclass(frozen=True)
class View:
    """What the address asks for. ``charts``: what charts.js keeps in it, handed on to links of the same view."""

    experiment: str = ""
    where: str = ""
    sort: str = ""
    reverse: bool = False
    group: str = ""
    columns: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    offset: int = 0
    limit: int = LIMIT
    archived: bool = False
    curves: bool = False
    charts: tuple[tuple[str, str], ...] = ()

    def pairs(self, **changed: Any) -> list[tuple[str, Any]]:
        """Return the query of the same view with changes; defaults are left out."""
        found = replace(self, **changed)
        plain = [(name, getattr(found, name)) for name in ("experiment", "where", "sort", "group")]
        flags = [(name, "1") for name in ("reverse", "archived", "curves") if getattr(found, name)]
        numbers = [(name, value) for name, value, default in
                   (("offset", found.offset, 0), ("limit", found.limit, LIMIT)) if value != default]  # fmt: skip
        several = [*(("column", name) for name in found.columns), *(("pin", name) for name in found.pins)]
        return [*((name, value) for name, value in plain if value), *flags, *several, *numbers, *self._charts(found)]

    def _charts(self, found: View) -> tuple[tuple[str, str], ...]:
        return found.charts if found.curves else ()

    def pinned(self, run: str) -> list[tuple[str, Any]]:
        """Return the query of the same view with a run pinned, or no longer."""
        pins = tuple(name for name in self.pins if name != run) if run in self.pins else (*self.pins, run)
        return self.pairs(pins=pins)


def of_query(query: QueryParams) -> View:
    """Return the view of an address. Raises InvalidRequest."""
    pins = tuple(dict.fromkeys(name for name in query.getlist("pin") if name))
    if len(pins) > _MOST_PINS:
        raise InvalidRequest(f"at most {_MOST_PINS} runs can be pinned, not {len(pins)}")
    return View(
        experiment=query.get("experiment", ""),
        where=query.get("where", "").strip(),
        sort=query.get("sort", ""),
        reverse=bool(query.get("reverse")),
        group=query.get("group", ""),
        columns=tuple(dict.fromkeys(name for name in query.getlist("column") if name)),
        pins=pins,
        offset=_number(query.get("offset", "0"), 0, 10**9),
        limit=_number(query.get("limit", str(LIMIT)), 1, _MOST_ROWS),
        archived=bool(query.get("archived")),
        curves=bool(query.get("curves")),
        charts=tuple((name, query[name]) for name in CHARTS if query.get(name)),
    )


def _number(text: str, least: int, most: int) -> int:
    try:
        return max(least, min(most, int(text)))
    except ValueError:
        raise InvalidRequest(f"invalid number {text[:50]!r} in the address") from None
