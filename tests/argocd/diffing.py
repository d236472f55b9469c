"""Argo CD's two ways to find drift, as of 3.x: what it takes for a difference between Git and live.

`three_way` is the default: the last applied configuration, Git and live are merged as JSON, and a list is one value.
`server_side` compares live with what the API server would make of Git (a dry run of server-side apply). Both give
the fields that would change, as (what it would be, what it is).
"""

import json
from collections.abc import Iterator
from typing import Any

Raw = dict[str, Any]
Path = tuple[str, ...]
Differences = dict[str, tuple[Any, Any]]

MANAGER = "argocd-controller"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ABSENT = object()


def three_way(config: Raw, live: Raw) -> Differences:
    """Return what a merge of Git into live would change."""
    annotations = live["metadata"].get("annotations", {})
    original = json.loads(annotations[LAST_APPLIED]) if LAST_APPLIED in annotations else config
    predicted = _merged(_merged(live, _changes(live, config)), _deletions(original, config))
    return _shown(_differences(_normal(predicted), _normal(live)))


def server_side(predicted: Raw, live: Raw, *, mutations: bool = False) -> Differences:
    """Return what differs between a dry run and live.

    Argo CD counts the fields that its field manager owns; with ``mutations``, its IncludeMutationWebhook, all fields.
    """
    found = _differences(_normal(predicted), _normal(live))
    owned = {*_owned(predicted), *_owned(live)}
    return _shown({path: value for path, value in found.items() if mutations or _belongs(path, owned)})


# Merging


def _changes(live: Any, config: Any) -> Raw:
    """Return the merge patch that brings into live what Git has, and takes nothing away."""
    patch = {}
    for key, value in config.items():
        known = live.get(key, _ABSENT)
        if isinstance(value, dict) and isinstance(known, dict):
            if deeper := _changes(known, value):
                patch[key] = deeper
        elif known is _ABSENT or known != value:
            patch[key] = value
    return patch


def _deletions(original: Raw, config: Raw) -> Raw:
    """Return the merge patch that takes away what was applied before, and Git has no more."""
    patch: Raw = {}
    for key, value in original.items():
        if key not in config:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(config[key], dict) and (deeper := _deletions(value, config[key])):
            patch[key] = deeper
    return patch


def _merged(target: Any, patch: Any) -> Any:
    """Return a JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found


# Comparing


def _normal(body: Raw) -> Raw:
    """Return an object without what no comparison of Argo CD's looks at."""
    metadata = {
        key: value
        for key, value in body["metadata"].items()
        if key not in ("managedFields", "resourceVersion", "creationTimestamp")
    }
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**body, "metadata": metadata}


def _differences(predicted: Any, live: Any, path: Path = ()) -> dict[Path, tuple[Any, Any]]:
    if not (isinstance(predicted, dict) and isinstance(live, dict)):
        return {} if predicted == live else {path: (predicted, live)}
    found = {}
    for key in predicted.keys() | live.keys():
        found |= _differences(predicted.get(key), live.get(key), (*path, key))
    return found


def _owned(body: Raw) -> Iterator[Path]:
    """Yield the fields that Argo CD's field manager owns; of a list the whole."""
    for entry in body["metadata"].get("managedFields", []):
        if entry["manager"] == MANAGER and "subresource" not in entry:
            yield from _leaves(entry["fieldsV1"])


def _leaves(fields: Raw, path: Path = ()) -> Iterator[Path]:
    deeper = {key: value for key, value in fields.items() if key.startswith("f:")}
    if not deeper and path:
        yield path
    for key, value in deeper.items():
        yield from _leaves(value, (*path, key.removeprefix("f:")))


def _belongs(path: Path, owned: set[Path]) -> bool:
    return any(path[: len(each)] == each or each[: len(path)] == path for each in owned)


def _shown(found: dict[Path, tuple[Any, Any]]) -> Differences:
    return {".".join(path): found[path] for path in sorted(found)}
