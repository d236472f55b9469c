"""The points that a container prints, read from the parts of its log as they are stored."""

import logging
from collections.abc import Collection
from typing import Any

from assay.api.objects import Raw
from assay.planning.runs.checks import InvalidTemplate
from assay.store import layout, printed
from assay.store.aio import AsyncStore
from assay.store.errors import RecordError
from assay.store.layout import LogName
from assay.store.points.printed import InvalidPattern, format_of
from assay.store.printed import State

log = logging.getLogger(__name__)


def check(run: Raw) -> None:
    """Raise InvalidTemplate if the pattern for the containers' output cannot be used."""
    options = (run["spec"].get("collect") or {}).get("stdout")
    try:
        if options:
            format_of(options)
    except InvalidPattern as error:
        raise InvalidTemplate(f"spec.collect.stdout.pattern: {error}") from None


class PrintedPoints:
    """The points of one log. Only one task at a time may advance them."""

    def __init__(
        self, store: AsyncStore, prefix: str, name: LogName, options: dict[str, Any], wanted: Collection[str]
    ) -> None:
        self._store, self._prefix, self._name = store, prefix, name
        self._options, self._wanted = options, wanted
        self._state: State | None = None
        self._broken, self._part = False, 0

    async def advance(self, parts: int) -> None:
        """Take the parts of the log up to a number. Raises StoreError; the next call continues then."""
        if self._broken or parts <= self._part:
            return
        state, self._state = self._state, None
        try:
            self._state = await self._store.run(
                printed.advance,
                self._store.blocking,
                self._prefix,
                self._name,
                self._options,
                self._wanted,
                parts,
                state,
            )
        except (RecordError, InvalidPattern) as error:
            log.warning("the metrics in the log of %s are not read: %s", "/".join(map(str, self._name)), error)
            self._broken = True
            return
        self._part = parts


def points_of(store: AsyncStore, run: Raw, name: LogName, wanted: Collection[str]) -> PrintedPoints | None:
    """Return the points of a log; None unless the run collects them from this container."""
    options = (run["spec"].get("collect") or {}).get("stdout")
    own = {each.get("name") for each in run["spec"]["job"]["template"]["spec"]["containers"]}
    if not options or name.container not in own:
        return None
    return PrintedPoints(store, layout.prefix_of(run), name, options, wanted)
