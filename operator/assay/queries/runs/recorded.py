"""Finds a run by name, in the cluster or, if it was deleted, by its record in the store.

digits-3            the Run in the cluster, otherwise the newest record with that name
digits/digits-3     the same, only for runs of the experiment `digits`
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from assay.api.errors import AssayError, ObjectNotFound
from assay.api.objects import Raw, experiment_of
from assay.api.resources import RUNS
from assay.queries import references
from assay.queries.access import Access
from assay.queries.runs.rows import RunRow, of_run
from assay.store import archive, layout, recorded
from assay.store.errors import NotFound, RecordError, StoreError
from assay.store.parallel import ordered

_WORKERS = 8
_OWN = "_"


class Located(NamedTuple):
    """A run with its status. ``archived``: it is no longer in the cluster, only in the store."""

    run: Raw
    archived: bool

    @property
    def row(self) -> RunRow:
        """The run as a row without its duration, which depends on the current time."""
        return of_run(self.run, archived=self.archived)


def find(access: Access, text: str) -> Raw:
    """Return a run with its status, from the cluster or from its record. Raises AssayError.

    If several records have the name, it returns the newest and notes its UID.
    """
    return locate(access, text).run


def locate(access: Access, text: str) -> Located:
    """Return the same as ``find``, and where it comes from. Raises AssayError."""
    experiment, _, name = text.rpartition("/")
    live = access.kube.find(RUNS, access.namespace, name)
    if live is not None and experiment in ("", experiment_of(live)):
        return Located(live, archived=False)
    try:
        found = _recorded(access, experiment, name)
    except (AssayError, StoreError) as error:
        access.note(f"searched only the cluster, not the store: {error}")
        found = []
    if found:
        return Located(_newest(access, found), archived=True)
    if experiment:
        raise ObjectNotFound(f"experiment {experiment} has no run {name}, neither in the cluster nor in the store")
    return Located(references.run(access, name), archived=False)


def pod_of(run: Raw) -> str:
    """Return the name of the pod that counts, otherwise of the newest one; "" if there are none."""
    status = run.get("status") or {}
    attempts = status.get("attempts") or []
    return layout.counting_pod(run) or (attempts[-1]["pod"] if attempts else "")


# Records


def _recorded(access: Access, experiment: str, name: str) -> list[Raw]:
    """Return the recorded runs with a name. Searches the experiment that the name suggests first."""
    try:
        layout.run_prefix(access.namespace, experiment or None, name, "u")
    except ValueError:
        return []
    if experiment:
        return _in_folder(access, name, experiment)
    likely = [name.rpartition("-")[0] or _OWN, _OWN]
    for folder in likely:
        if found := _in_folder(access, name, folder):
            return found
    others = (each for each in access.store.folders(f"runs/{access.namespace}/") if each not in likely)
    return [run for some in ordered(partial(_in_folder, access, name), others, _WORKERS) for run in some]


def _in_folder(access: Access, name: str, folder: str) -> list[Raw]:
    experiment = None if folder == _OWN else folder
    uids = access.store.folders(f"runs/{access.namespace}/{folder}/{name}/")
    found = (_read(access, experiment, name, uid) for uid in uids)
    return [run for run in found if run is not None]


def _read(access: Access, experiment: str | None, name: str, uid: str) -> Raw | None:
    """Return one run; None if its record is not closed or not valid."""
    store, namespace = access.store, access.namespace
    try:
        archived = archive.read_archived(store, namespace, experiment, name, uid)
        return archived or recorded.read_run(store, namespace, experiment, name, uid)
    except NotFound:
        return None
    except (RecordError, ValueError) as error:
        access.note(f"skipped an invalid record: {error}")
        return None


def _newest(access: Access, found: list[Raw]) -> Raw:
    run = max(found, key=lambda each: str((each.get("status") or {}).get("completionTime") or ""))
    metadata = run["metadata"]
    if len(found) > 1:
        access.note(f"{len(found)} records have the name {metadata['name']}; this is the newest, {metadata['uid']}")
    return run
