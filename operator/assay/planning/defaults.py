"""Which fields a spec omits, and the values that count instead: the API server stores no defaults.

``assay.api.schema`` says why. Pure: it reads validated models and decides nothing.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel

#: Maximum number of fields in a status.
LIMIT = 100


def omitted(spec: BaseModel) -> list[str]:
    """Return ``field: value`` for each omitted field with a default, e.g. ``approvals.required: 1``."""
    return list(islice(_omitted(spec, ""), LIMIT))


def _omitted(part: BaseModel, path: str) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        value, here = getattr(part, name), f"{path}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from _omitted(value, f"{here}.")
        elif name not in part.model_fields_set:
            # What is empty or absent by default adds nothing.
            if value not in (None, [], {}):
                yield f"{here}: {json.dumps(value)}"[:256]
        elif isinstance(value, list):
            yield from _of_items(value, here)


def _of_items(items: list[Any], path: str) -> Iterator[str]:
    for index, item in enumerate(items):
        if isinstance(item, BaseModel):
            yield from _omitted(item, f"{path}[{getattr(item, 'name', index)}].")
