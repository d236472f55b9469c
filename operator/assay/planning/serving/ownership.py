"""Which fields of an object a field manager has applied, and whether an object holds what a body says.

The API server notes the first in `metadata.managedFields`, in the encoding of structured-merge-diff: `f:<field>` for a
field, `k:{"<key>":"<value>"}` for an item of a list with keys. Of those, a pod template's are known here, no others.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from assay.api.objects import Raw

Path = tuple[str, ...]

#: Lists whose items are merged, and the field that identifies an item (listMapKey in core/v1).
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
#: What identifies an object belongs to nobody.
_IDENTITY = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata", "f:name"),
    ("f:metadata", "f:namespace"),
    ("f:metadata", "f:uid"),
}
_AMOUNTS = ("cpu", "memory", "ephemeral-storage")
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def field(*names: str) -> Path:
    """Return the path of a field below other fields."""
    return tuple(f"f:{name}" for name in names)


def item(list_name: str, key: str) -> Path:
    """Return the path of one item of a list that has keys, from the object that holds the list."""
    return (f"f:{list_name}", _key(_KEYS[list_name], key))


def owned(workload: Raw, manager: str) -> frozenset[Path] | None:
    """Return the paths of all values that the manager has applied; None when the object does not say who did what."""
    entries = workload["metadata"].get("managedFields")
    if not entries:
        return None
    mine = (
        entry.get("fieldsV1") or {}
        for entry in entries
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")
    )
    return frozenset(path for fields in mine for path in _leaves(fields, ()))


def _leaves(fields: Raw, above: Path) -> Iterator[Path]:
    for name, below in fields.items():
        if below:
            yield from _leaves(below, (*above, name))
        elif name != ".":  # says of a list's item or a map that it is there, which its fields say too
            yield (*above, name)


def paths(body: Raw) -> frozenset[Path]:
    """Return the paths that the manager owns once it has applied the body."""
    return frozenset(path for path in _paths(body, ()) if path not in _IDENTITY)


def _paths(value: Any, above: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            for key, inner in _items(name, below):
                yield from _paths(inner, (*above, f"f:{name}", *key))
    else:
        yield above


def _items(name: str, value: Any) -> list[tuple[Path, Any]]:
    """Return the items of a list that has keys, each with its part of the path; anything else as it is."""
    if name in _KEYS and isinstance(value, list):
        return [((_key(_KEYS[name], each[_KEYS[name]]),), each) for each in value]
    return [((), value)]


def _key(name: str, value: str) -> str:
    return "k:" + json.dumps({name: value}, separators=(",", ":"))


def holds(live: Any, wanted: Any, name: str = "") -> bool:
    """Whether everything that is wanted is there, with its value and in its order; there may be more."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(holds(live.get(key), value, key) for key, value in wanted.items())
    if name in _KEYS and isinstance(wanted, list):
        return _holds_items(live or [], wanted, _KEYS[name])
    return bool(live == wanted) or (name in _AMOUNTS and _quantity(live) == _quantity(wanted))


def _holds_items(live: list[Raw], wanted: list[Raw], key: str) -> bool:
    """Whether the items of a list are there, in the order in which they are wanted."""
    found = {each.get(key): each for each in live}
    order = [each[key] for each in wanted]
    kept = [each for each in found if each in order]
    return kept == order and all(holds(found[each[key]], each) for each in wanted)


def _quantity(value: Any) -> Decimal | str:
    """Return an amount as a number: the API server writes `0.5` as `500m`."""
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        return str(value)
    return Decimal(found[1]) * (_FACTORS[found[2]] if found[2] else 1)
