"""A run by its name, also one that is gone from the cluster: then the store's record of it says what it was.

digits-3            the Run in the cluster, else the newest record of that name
digits/digits-3     the same, of a run of the experiment `digits`
"""

from __future__ import annotations

from functools import partial
from typing import Any

from assay.api import names
from assay.api.resources import RUNS
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries import references
from assay.store import archive, layout, recorded
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, StoreError
from assay.store.parallel import ordered

Raw = dict[str, Any]

_WORKERS = 8
_OWN = "_"


def find(session: Session, text: str) -> Raw:
    """Return a run with its status: the Run as it is, or as its record has it. Raises CliError.

    Of several records with the name it is the newest; which one that is, is said.
    """
    experiment, _, name = text.rpartition("/")
    live = session.kube.find(RUNS, session.namespace, name)
    if live is not None and experiment in ("", experiment_of(live)):
        return live
    try:
        found = _recorded(session.store, session.namespace, experiment, name)
    except (CliError, StoreError) as error:
        printing.note(f"only the cluster was searched: {error}")
        found = []
    if found:
        return _newest(found)
    if experiment:
        raise CliError(f"the experiment {experiment} has no run {name}, and no record of one", code=NOT_FOUND)
    return references.run(session, name)


def experiment_of(run: Raw) -> str:
    """Return the name of a run's experiment; "" of a run of its own."""
    return (run["metadata"].get("labels") or {}).get(names.LABEL_EXPERIMENT) or ""


def prefix_of(run: Raw) -> str:
    """Return the prefix of a run in the store."""
    metadata = run["metadata"]
    return layout.run_prefix(metadata["namespace"], experiment_of(run), metadata["name"], metadata["uid"])


def pod_of(run: Raw) -> str:
    """Return the name of the pod that counts, else of the newest one; "" when no pod is known."""
    status = run.get("status") or {}
    artifacts = (status.get("record") or {}).get("artifacts") or ""
    counts = artifacts.rstrip("/").removesuffix(f"/{layout.ARTIFACTS}").rpartition("/")[2]
    attempts = status.get("attempts") or []
    return counts or (attempts[-1]["pod"] if attempts else "")


# Records


def _recorded(store: ObjectStore, namespace: str, experiment: str, name: str) -> list[Raw]:
    """Return the runs that had a name, as their records have them. Looks first where a name says that it belongs."""
    try:
        layout.run_prefix(namespace, experiment or None, name, "u")
    except ValueError:
        return []
    if experiment:
        return _in_folder(store, namespace, name, experiment)
    likely = [name.rpartition("-")[0] or _OWN, _OWN]
    for folder in likely:
        if found := _in_folder(store, namespace, name, folder):
            return found
    others = (each for each in store.folders(f"runs/{namespace}/") if each not in likely)
    return [run for some in ordered(partial(_in_folder, store, namespace, name), others, _WORKERS) for run in some]


def _in_folder(store: ObjectStore, namespace: str, name: str, folder: str) -> list[Raw]:
    experiment = None if folder == _OWN else folder
    uids = store.folders(f"runs/{namespace}/{folder}/{name}/")
    found = (_read(store, namespace, experiment, name, uid) for uid in uids)
    return [run for run in found if run is not None]


def _read(store: ObjectStore, namespace: str, experiment: str | None, name: str, uid: str) -> Raw | None:
    """Return one run; None of a record that was never closed, or cannot be believed."""
    try:
        archived = archive.read_archived(store, namespace, experiment, name, uid)
        return archived or recorded.read_run(store, namespace, experiment, name, uid)
    except NotFound:
        return None
    except (RecordError, ValueError) as error:
        printing.note(f"a record was passed over: {error}")
        return None


def _newest(found: list[Raw]) -> Raw:
    run = max(found, key=lambda each: str((each.get("status") or {}).get("completionTime") or ""))
    metadata = run["metadata"]
    if len(found) > 1:
        printing.note(f"{len(found)} records have the name {metadata['name']}; this is the newest, {metadata['uid']}")
    return run
