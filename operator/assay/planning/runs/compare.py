"""Compare two runs field by field: code, images, data, parameters, packages, hardware, results.

Pure. A field that only one run has is a difference. Values of environment variables are compared but never shown,
because they often contain tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from assay.api.objects import Raw
from assay.planning.runs.recipe import datasets_of, digests_of

Path = tuple[str, ...]
Kind = Literal[
    "code",
    "images",
    "packages",
    "data",
    "parameters",
    "command",
    "environment",
    "resources",
    "hardware",
    "job",
    "metrics",
    "model",
    "outcome",
    "other",
]
HIDDEN = "(hidden)"

#: Deeper values are compared as a whole, because an environment.json can have any depth.
_DEEPEST = 40
#: In display order.
KINDS: tuple[Kind, ...] = get_args(Kind)
_SPEC: dict[str, Kind] = {
    "source": "code",
    "datasets": "data",
    "parameters": "parameters",
    "seed": "parameters",
    "model": "model",
}
_CONTAINER: dict[str, Kind] = {
    "image": "images",
    "imagePullPolicy": "images",
    "command": "command",
    "args": "command",
    "workingDir": "command",
    "env": "environment",
    "envFrom": "environment",
    "resources": "resources",
}
_ENVIRONMENT: dict[str, Kind] = {
    "packages": "packages",
    "conda": "packages",
    "python": "packages",
    "cuda": "packages",
    "prefixes": "packages",
    "hardware": "hardware",
}
#: The kinds that decide the result: a run that differs in one of them is not a rerun.
_RECIPE: tuple[Kind, ...] = ("code", "parameters", "command", "environment")


@dataclass(frozen=True)
class Side:
    """One of the two runs: the raw Run, and its environment.json or an empty dict."""

    run: Raw
    environment: Raw = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One field that differs: its path, its values (None for an absent field), and its kind.

    The path begins with ``spec``, ``status`` or ``environment``. An item of a list of named items is ``list[name]``.
    """

    path: str
    a: Any
    b: Any
    kind: Kind


def compare(a: Side, b: Side) -> list[Difference]:
    """Return the differences, ordered by kind, then by path."""
    return _differences(_facts(a), _facts(b))


def recipe_differences(original: Raw, rerun: Raw) -> list[Difference]:
    """Return the differences between two recipes that can change the result; [] for a true rerun.

    Resources, hardware and the Job's other fields may differ. The address of a data set or image may differ if the
    digest is the same. Digests that are unknown or of different types are not compared.
    """
    found = _differences(_facts(Side(original)), _facts(Side(rerun)))
    decisive = [each for each in found if each.kind in _RECIPE or each.path == "spec.model.path"]
    return [*decisive, *_images(original, rerun), *_data(original, rerun)]


# The fields of a run


def _facts(side: Side) -> dict[Path, Any]:
    spec, status = side.run.get("spec") or {}, side.run.get("status") or {}
    spec = {key: value for key, value in spec.items() if key != "rerunOf"}
    if "datasets" in spec:
        spec["datasets"] = datasets_of(spec, status)
    if (spec.get("source") or {}).get("dirty") is False:
        spec["source"] = {key: value for key, value in spec["source"].items() if key != "dirty"}
    known = {key: status[key] for key in ("phase", "reason", "metrics", "logged") if key in status}
    model = {key: value for key, value in (status.get("model") or {}).items() if key != "path"}
    images = [{"name": name, "digest": digest} for name, digest in digests_of(status).items()]
    parts = {"spec": spec, "status": {**known, "model": model, "images": images}, "environment": side.environment}
    return dict(_flat(parts, ()))


def _flat(value: Any, above: Path) -> Iterator[tuple[Path, Any]]:
    """Yield all leaf fields of a value. A list of named items is treated as a map by name, other lists as leaves."""
    if len(above) > _DEEPEST:
        yield above, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _flat(below, (*above, str(key)))
    elif by_name := _by_name(value):
        for name, each in by_name.items():
            yield from _flat({k: v for k, v in each.items() if k != "name"} or True, (*above, f"[{name}]"))
    elif value is not None and value != []:
        yield above, value


def _by_name(value: Any) -> dict[str, Raw]:
    """Return the items of a list by name; {} unless the value is a list whose items have unique names."""
    if not isinstance(value, list) or not all(isinstance(each, dict) and "name" in each for each in value):
        return {}
    found = {str(each["name"]): each for each in value}
    return found if len(found) == len(value) else {}


# What differs


def _differences(a: dict[Path, Any], b: dict[Path, Any]) -> list[Difference]:
    found = [
        Difference(_text(path), _shown(path, a), _shown(path, b), _kind(path))
        for path in a.keys() | b.keys()
        if not _same(path, a.get(path), b.get(path))
    ]
    return sorted(found, key=lambda each: (KINDS.index(each.kind), each.path))


def _same(path: Path, a: Any, b: Any) -> bool:
    if path[:2] == ("status", "images") and a is not None and b is not None:
        return _content(a) == _content(b)
    # JSON has one number type, so 1 equals 1.0; but in Python, True == 1.
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _content(digest: str) -> str:
    """Return an image digest without its repository."""
    return digest.rpartition("@")[2]


def _kind(path: Path) -> Kind:
    root, first = path[0], path[1] if len(path) > 1 else ""
    if root == "environment":
        return _ENVIRONMENT.get(first, "environment")
    if root == "status":
        kinds: dict[str, Kind] = {"metrics": "metrics", "logged": "parameters", "model": "model", "images": "images"}
        return kinds.get(first, "outcome")
    if path[1:4] == ("job", "template", "spec") and path[4:5] in (("containers",), ("initContainers",)):
        return _CONTAINER.get(path[6] if len(path) > 6 else "", "job")
    return "job" if first == "job" else _SPEC.get(first, "other")


def _shown(path: Path, facts: dict[Path, Any]) -> Any:
    """Return a field's value for display; HIDDEN for values that can contain secrets."""
    if path not in facts:
        return None
    # Containers without unique names are one leaf, which can contain variables.
    whole = path[1:4] == ("job", "template", "spec") and path[4:] in (("containers",), ("initContainers",))
    variable = path[1:2] == ("job",) and path[6:7] == ("env",) and path[8:9] != ("valueFrom",)
    return HIDDEN if whole or variable else facts[path]


def _text(path: Path) -> str:
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


# What is the same by its digest


def _images(original: Raw, rerun: Raw) -> Iterator[Difference]:
    before, now = digests_of(original.get("status") or {}), digests_of(rerun.get("status") or {})
    for container in sorted(before.keys() & now.keys()):
        a, b = before[container], now[container]
        # An image ID and a repository digest identify different things and cannot be compared.
        if ("@" in a) == ("@" in b) and _content(a) != _content(b):
            yield Difference(f"status.images[{container}].digest", a, b, "images")


def _data(original: Raw, rerun: Raw) -> Iterator[Difference]:
    sides = []
    for run in (original, rerun):
        found = datasets_of(run.get("spec") or {}, run.get("status") or {})
        sides.append({str(each.get("name")): each for each in found})
    for name in sorted(sides[0].keys() | sides[1].keys()):
        a, b = (_content_of(side.get(name)) for side in sides)
        if a is None or b is None or (a[0] == b[0] and a != b):
            yield Difference(f"spec.datasets[{name}]", a and a[1], b and b[1], "data")


def _content_of(dataset: Raw | None) -> tuple[str, str] | None:
    """Return ("digest", digest), or ("uri", address) without a digest; None when there is no such data set."""
    if dataset is None:
        return None
    return ("digest", dataset["digest"]) if dataset.get("digest") else ("uri", str(dataset.get("uri")))
