"""Seals the files of a run's pods: moves them to a prefix that the run's credentials cannot write.

Pods write below `intake/` of their run's prefix. After the run, the operator has the store copy the files to `pods/`
and verifies and reads them only there. Anyone who still holds the run's credentials cannot replace a verified file.
Bucket versioning or object lock protects the sealed files from the store's own users.
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
    """Move the files of a run's pods to the prefix that only the operator writes; return the number of files.

    A run is sealed when its manifest is written: later files stay in the intake, and nothing reads them. Files beyond
    the MAX_FILES of a manifest stay too. Safe to repeat after a crash. Blocks. Raises StoreError.
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
    """Return whether a run's manifest exists. Raises StoreError."""
    try:
        store.stat(f"{run_prefix}/{layout.MANIFEST}")
    except NotFound:
        return False
    return True


def current(store: ObjectStore, run_prefix: str, pod: str) -> str:
    """Return the prefix of a pod's files: the sealed prefix, or the intake while the run is running."""
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
