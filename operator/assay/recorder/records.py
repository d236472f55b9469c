"""The records that the recorder writes, as plain data.

`assay.store.records` reads them. The fields and bounds are the same, which a test verifies. This module does not use
those models, because importing pydantic takes as long as the rest of the recorder's start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay.recorder.state import State
from assay.store.clock import now
from assay.store.limits import MAX_FILES, MAX_KEY_BYTES, MAX_MISSING, MAX_TEXT_CHARS

Missing = list[tuple[str, str]]
Files = list[tuple[str, int, str]]


def summary(state: State, artifacts: tuple[int, int], store_error: str) -> dict[str, Any]:
    """The fields of a Summary."""
    totals = state.totals
    count, size = artifacts
    return {
        "version": 1,
        "pod": state.pod,
        "updated": now(),
        "points": totals.points,
        "children": totals.children,
        "metrics": {name: series.to_dict() for name, series in totals.metrics.items()},
        "refused": {name: why for name, why in totals.refused.items() if name not in totals.metrics},
        "parameters": totals.parameters,
        "tags": totals.tags,
        "requests": totals.requests,
        "rejected": totals.rejected,
        "warnings": totals.events + totals.warnings,
        "artifacts": {"count": count, "bytes": size},
        "store_error": store_error[:MAX_TEXT_CHARS],
    }


def manifest(
    state: State, files: Files, missing: Missing, final: dict[str, Any], history: Files | None = None
) -> dict[str, Any]:
    """The fields of a PodManifest."""
    room = max(0, MAX_FILES - len(files))
    return {
        "version": 1,
        "pod": state.pod,
        "started": state.started,
        "finished": now(),
        "files": _entries(files),
        "history": _entries((history or [])[:room]),
        "missing": list(_missing(missing, len(files))),
        "summary": final,
    }


def _entries(files: Files) -> list[dict[str, Any]]:
    return [{"path": path, "size": size, "sha256": sha256} for path, size, sha256 in files]


def _missing(missing: Missing, files: int) -> Iterable[dict[str, str]]:
    if files > MAX_FILES:
        raise ValueError(f"a manifest lists at most {MAX_FILES} files, but there are {files}")
    shown = missing if len(missing) <= MAX_MISSING else missing[: MAX_MISSING - 1]
    for path, reason in shown:
        yield {"path": readable(path)[:MAX_KEY_BYTES], "reason": readable(reason)[:MAX_TEXT_CHARS]}
    if len(shown) < len(missing):
        yield {"path": "…", "reason": f"and {len(missing) - len(shown)} more"}


def readable(text: str) -> str:
    """Valid UTF-8 for a record. File names may contain other bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
