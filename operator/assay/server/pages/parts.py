"""Parts of a page that can be missing on their own: for lack of rights, of a store, or of enough runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from assay.api.errors import AssayError
from assay.kube.errors import ApiError
from assay.server.pages.site import Visit
from assay.store.errors import StoreError


@dataclass
class Part:
    """What was found, or why nothing was."""

    found: Any = None
    problem: str = ""
    hint: str = ""
    notes: Sequence[str] = ()


def attempt(visit: Visit, read: Callable[[], Any]) -> Part:
    """Read a part of the page, with the notes about it."""
    notes = visit.person.notes
    known = len(notes)
    try:
        part = Part(read())
    except AssayError as error:
        return Part(problem=error.message, hint=error.hint)
    except (ApiError, StoreError) as error:
        return Part(problem=str(error))
    part.notes = notes[known:]
    del notes[known:]
    return part
