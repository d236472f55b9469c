"""Which fields of an object a field manager has applied, and whether an object contains the values of a body.

The API server records field ownership in `metadata.managedFields`, in the encoding of structured-merge-diff:
`f:<field>` for a field, `k:{"<key>":"<value>"}` for an item of a keyed list. This module knows only the keyed lists of
a pod template.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from assay.api.objects import Raw

Path = tuple[str, ...]

#: Keyed lists, and the field that identifies an item (listMapKey in core/v1).
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
}
#: The fields that identify an object have no owner.
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
    """Return the path of one item of a keyed list, relative to the object with the list."""
    return (f"f:{list_name}", _key(_KEYS[list_name], key))


def owned(workload: Raw, manager: str) -> frozenset[Path] | None:
    """Return the paths of all values that the manager has applied; None when the object has no managedFields."""
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
        elif name != ".":  # "." marks the item or map itself; its fields already imply it
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
    """Return the items of a keyed list, each with its path element; any other value unchanged, with an empty path."""
    if name in _KEYS and isinstance(value, list):
        return [((_key(_KEYS[name], each[_KEYS[name]]),), each) for each in value]
    return [((), value)]


def _key(name: str, value: str) -> str:
    return "k:" + json.dumps({name: value}, separators=(",", ":"))


def holds(live: Any, desired: Any, name: str = "") -> bool:
    """Whether ``live`` contains all desired values, in the desired order; additional values are allowed."""
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(holds(live.get(key), value, key) for key, value in desired.items())
    if name in _KEYS and isinstance(desired, list):
        return _holds_items(live or [], desired, _KEYS[name])
    return bool(live == desired) or (name in _AMOUNTS and _quantity(live) == _quantity(desired))


def _holds_items(live: list[Raw], desired: list[Raw], key: str) -> bool:
    """Whether a keyed list contains all desired items, in the desired order."""
    found = {each.get(key): each for each in live}
    order = [each[key] for each in desired]
    present = [each for each in found if each in order]
    return present == order and all(holds(found[each[key]], each) for each in desired)


def _quantity(value: Any) -> Decimal | str:
    """Return a resource quantity as a number, because the API server normalizes `0.5` to `500m`."""
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        return str(value)
    return Decimal(found[1]) * (_FACTORS[found[2]] if found[2] else 1)
