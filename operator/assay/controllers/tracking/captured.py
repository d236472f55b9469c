"""Read the captured environment and resource usage of a run from the store, for its record and its status.

These functions block. Missing or invalid captures never make a run fail.
"""

import hashlib
from dataclasses import dataclass, field

import pydantic

from assay.api.run_status import EnvironmentStatus, UsageStatus
from assay.planning.runs.usage import Point, Totals
from assay.store import layout, printed, system
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, TooLarge
from assay.store.limits import MAX_ENVIRONMENT_BYTES
from assay.store.records import EnvironmentRecord, FileEntry, PodManifest


@dataclass(frozen=True)
class Captured:
    """The captured data for the status, and the files for the run's manifest. ``usage`` is None without samples."""

    environment: EnvironmentStatus | None = None
    usage: UsageStatus | None = None
    files: list[FileEntry] = field(default_factory=list)


def read(store: ObjectStore, prefix: str, pod: str, manifest: PodManifest | None) -> Captured:
    """Return the captured data of the run with this prefix. ``pod`` is the pod whose environment counts, "" for none.

    Raises StoreError.
    """
    totals, files = Totals(), list[FileEntry]()
    for name, entry, rows in system.files(store, prefix):
        files.append(entry)
        totals.add(name, (Point(**row) for row in rows))
    files += printed.files(store, prefix)
    usage = None
    if totals.samples:
        usage = UsageStatus(
            cpu_seconds=round(totals.cpu_seconds, 3),
            max_memory_bytes=totals.max_memory_bytes,
            samples=totals.samples,
        )
    return Captured(_environment(store, prefix, pod, manifest), usage, files)


def _environment(store: ObjectStore, prefix: str, pod: str, manifest: PodManifest | None) -> EnvironmentStatus | None:
    """Return the environment recorded by a pod; None when it is missing, invalid or not the file in the manifest."""
    if not pod:
        return None
    try:
        data = store.get_bytes(f"{layout.pod_prefix(prefix, pod)}/{layout.ENVIRONMENT}", MAX_ENVIRONMENT_BYTES)
        found = EnvironmentRecord.model_validate_json(data)
    except (NotFound, TooLarge, pydantic.ValidationError):
        return None
    listed = [each.sha256 for each in manifest.files if each.path == layout.ENVIRONMENT] if manifest else []
    if manifest and listed != [hashlib.sha256(data).hexdigest()]:
        return None
    return EnvironmentStatus(
        source=found.source,
        python=found.python or None,
        packages=len(found.packages),
        message="; ".join(found.problems)[:4000] or None,
    )
