"""Seals what the pods of a run have left: the store moves it to where the run's credentials cannot write.

Pods write below `intake/` of their run's prefix. Once the run is over, the store itself copies its files to `pods/`,
and only there they are verified and read: whoever still holds the run's credentials can replace
nothing that was verified. A bucket with versions or an object lock guards the sealed files from the store's own users.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from assay.store import layout
from assay.store.client import ObjectInfo, ObjectStore
from assay.store.copying import copy_object
from assay.store.errors import NotFound
from assay.store.limits import MAX_FILES

_PARALLEL = 4


def seal(store: ObjectStore, run_prefix: str) -> int:
    """Move what pods have left to where only the operator writes; return how many files.

    A run whose manifest is written is sealed: what arrives later stays where it is, and nobody reads it. Of more files
    than a manifest can name the rest stays too. Safe to repeat after a crash. Blocks. Raises StoreError.
    """
    if is_sealed(store, run_prefix):
        return 0
    found = list(islice(_files(store, run_prefix), MAX_FILES))
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="seal") as pool:
        for _ in pool.map(lambda info: _copy(store, run_prefix, info), found):
            pass
    store.delete_all([info.key for info in found])
    return len(found)


def is_sealed(store: ObjectStore, run_prefix: str) -> bool:
    """Return whether a run's manifest is written. Raises StoreError."""
    try:
        store.stat(f"{run_prefix}/{layout.MANIFEST}")
    except NotFound:
        return False
    return True


def current(store: ObjectStore, run_prefix: str, pod: str) -> str:
    """Return the prefix that has what a pod has recorded: the sealed one, or while the run is running its intake."""
    sealed = layout.pod_prefix(run_prefix, pod)
    return sealed if next(iter(store.list(f"{sealed}/")), None) else layout.intake_prefix(run_prefix, pod)


def _files(store: ObjectStore, run_prefix: str) -> Iterator[ObjectInfo]:
    start = f"{layout.intake(run_prefix)}/"
    for info in store.list(start):
        pod, _, path = info.key.removeprefix(start).partition("/")
        if path and layout.is_pod_name(pod):
            yield info


def _copy(store: ObjectStore, run_prefix: str, info: ObjectInfo) -> None:
    path = info.key.removeprefix(f"{layout.intake(run_prefix)}/")
    copy_object(store, f"{layout.pods_prefix(run_prefix)}/{path}", store.config.bucket, info.key, info.size)
