"""One call of MLflow's API: its arguments, which come in the query or as JSON, and who makes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from assay.api.errors import InvalidRequest
from assay.server.person import Person
from assay.server.state import State


@dataclass(frozen=True)
class Call:
    """One call. ``arguments`` has lists for what is repeated in a query."""

    person: Person
    state: State
    arguments: dict[str, Any]

    def get(self, name: str) -> Any:
        """Return an argument, None if it is not there."""
        found = self.arguments.get(name)
        return found[0] if isinstance(found, list) and found else found

    def several(self, name: str) -> list[Any]:
        """Return an argument that may be repeated."""
        found = self.arguments.get(name)
        return found if isinstance(found, list) else [] if found is None else [found]

    def need(self, *names: str) -> str:
        """Return the first argument of these that is there. Raises InvalidRequest in MLflow's words."""
        for name in names:
            found = self.get(name)
            if found:
                return str(found)
        raise InvalidRequest(f"Missing value for required parameter '{names[0]}'.")

    def number(self, name: str, default: int) -> int:
        """Return an argument that is a whole number; the default if it is not there, or 0. Raises InvalidRequest."""
        found = whole(str(self.get(name) or default))
        if found is None:
            raise InvalidRequest(f"Invalid value for parameter '{name}' supplied: it must be a whole number.")
        return found

    def page(self) -> int:
        """Return where a page begins. Raises InvalidRequest."""
        found = whole(str(self.get("page_token") or "0"))
        if found is None:
            raise InvalidRequest("Invalid page token")
        return found


def whole(text: str) -> int | None:
    """Return a number of up to 18 digits, None for any other text."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
