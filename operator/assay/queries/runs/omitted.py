"""Metrics that a Run's status has no room for: read from the record when a filter needs them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from assay.api.errors import AssayError
from assay.queries.access import Access
from assay.queries.runs.filters import LISTED_METRICS, Filter
from assay.queries.runs.rows import RunRow
from assay.store import layout, sealing
from assay.store.client import ObjectStore
from assay.store.errors import StoreError
from assay.store.parallel import ordered
from assay.store.records import Summary
from assay.store.verify import read_summary

_WORKERS = 8


def filled(access: Access, wanted: Filter, rows: Iterable[RunRow]) -> list[RunRow]:
    """Return the rows, with the metrics that the filter reads and that their statuses may have omitted.

    Without a store that can be read, the rows are returned as they are, with a note.
    """
    names = {path[1] for path in wanted.paths if path[0] == "metrics" and len(path) > 1}
    found = list(rows)
    cut = [row for row in found if len(row["metrics"]) >= LISTED_METRICS and names - row["metrics"].keys()]
    if not cut:
        return found
    try:
        done = ordered(partial(_with, access.store, access.namespace, names), cut, _WORKERS)
        read = {row["uid"]: row for row in done}
    except (AssayError, StoreError) as error:
        access.note(f"{len(cut)} runs have more metrics than their statuses list, and the store is not read: {error}")
        return found
    return [read.get(row["uid"], row) for row in found]


def _with(store: ObjectStore, namespace: str, names: set[str], row: RunRow) -> RunRow:
    """Return a row with the missing ones of these metrics, from the newest summary of its pods."""
    prefix = layout.run_prefix(namespace, row["experiment"] or None, row["name"], row["uid"])
    pods = {*store.folders(f"{layout.pods_prefix(prefix)}/"), *store.folders(f"{layout.intake(prefix)}/")}
    summaries = [found for pod in pods if (found := read_summary(store, sealing.current(store, prefix, pod)))]
    newest: Summary | None = max(summaries, key=lambda each: each.updated, default=None)
    if newest is None:
        return row
    more = {name: each.model_dump(mode="json") for name, each in newest.metrics.items() if name in names}
    return {**row, "metrics": {**more, **row["metrics"]}}
