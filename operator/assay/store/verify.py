"""Checks that the store has every file that a manifest lists. An error names the first file that fails.

A record counts only if it passes: the manifest exists and is well-formed, and every file has the size that the
manifest gives, with `deep` also the sha256. Artifacts that the run's tombstone lists may be missing. Read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

import pydantic

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.digests import folder_digest
from assay.store.errors import NotFound, RecordError, TooLarge
from assay.store.limits import MAX_DATASETS_BYTES, MAX_MANIFEST_BYTES, MAX_SUMMARY_BYTES
from assay.store.records import DatasetRecord, Datasets, Expired, FileEntry, PodManifest, Record, RunManifest, Summary

R = TypeVar("R", bound=Record)
Gone = Callable[[FileEntry], bool]


class VerifiedRun(NamedTuple):
    """A verified record. `expired` is its tombstone, None if no artifact was deleted."""

    manifest: RunManifest
    expired: Expired | None


def read_summary(store: ObjectStore, pod_prefix: str) -> Summary | None:
    """Return the live summary of a pod; None if there is none yet. Raises RecordError if it is invalid."""
    return _read(store, f"{pod_prefix}/{layout.SUMMARY}", Summary, MAX_SUMMARY_BYTES)


def read_datasets(store: ObjectStore, pod_prefix: str, manifest: PodManifest) -> list[DatasetRecord]:
    """Return the data sets that a pod has read; [] if it recorded none. Raises RecordError if the file is invalid."""
    if all(entry.path != layout.DATASETS for entry in manifest.files):
        return []
    found = _read(store, f"{pod_prefix}/{layout.DATASETS}", Datasets, MAX_DATASETS_BYTES)
    return found.datasets if found else []


def verify_pod(store: ObjectStore, pod_prefix: str, deep: bool = False) -> PodManifest:
    """Verify the files of a pod and return its manifest. Raises RecordError, which names the file."""
    parse = layout.parse_intake_prefix if pod_prefix.split("/")[-2:-1] == [layout.INTAKE] else layout.parse_pod_prefix
    run, pod = parse(pod_prefix)
    manifest = _manifest(store, pod_prefix, PodManifest)
    if manifest.pod != pod or manifest.summary.pod != pod:
        raise RecordError(f"{pod_prefix}/{layout.MANIFEST} is the manifest of another pod, {manifest.pod!r}")
    gone = _gone(store, layout.run_prefix(*run), f"{layout.PODS}/{pod}/")
    _check_files(store, pod_prefix, manifest.files, deep, gone)
    return manifest


def verify_run(store: ObjectStore, run_prefix: str, deep: bool = False) -> RunManifest:
    """Verify the files of a run and return its manifest. Raises RecordError, which names the file."""
    return verify_record(store, run_prefix, deep).manifest


def verify_record(store: ObjectStore, run_prefix: str, deep: bool = False) -> VerifiedRun:
    """Verify a run like `verify_run`; also return the tombstone that lists deleted artifacts. Raises RecordError."""
    manifest = run_manifest(store, run_prefix)
    _check_files(store, run_prefix, manifest.files, deep, _gone(store, run_prefix))
    return VerifiedRun(manifest, read_expired(store, run_prefix))


def read_expired(store: ObjectStore, run_prefix: str) -> Expired | None:
    """Return the tombstone of a run's artifacts; None if no artifact was deleted. Raises RecordError."""
    return _read(store, f"{run_prefix}/{layout.EXPIRED}", Expired, MAX_MANIFEST_BYTES)


def run_manifest(store: ObjectStore, run_prefix: str) -> RunManifest:
    """Return a run's manifest without checking its files. Raises RecordError if it is missing or another run's."""
    key = layout.parse_run_prefix(run_prefix)
    manifest = _manifest(store, run_prefix, RunManifest)
    said = (manifest.namespace, manifest.experiment or None, manifest.name, manifest.uid)
    if said != tuple(key):
        raise RecordError(f"{run_prefix}/{layout.MANIFEST} is the manifest of another run, {manifest.uid!r}")
    return manifest


def model_digest(files: list[FileEntry], path: str) -> str:
    """Return the digest of a file or a folder among `files` as "sha256:<hex>". Raises NotFound if it is missing.

    The digest of a file is its sha256. The digest of a folder is the sha256 over the sorted lines that `sha256sum`
    prints: "<sha256>  <path relative to the folder>" and a newline.
    """
    path = path.rstrip("/")
    below = {entry.path.removeprefix(path + "/"): entry.sha256 for entry in files if entry.path.startswith(path + "/")}
    for entry in files:
        if entry.path == path:
            return f"sha256:{entry.sha256}"
    if not below:
        raise NotFound(f"no file or folder {path!r} is in the manifest")
    return folder_digest(below.items())


def _manifest(store: ObjectStore, prefix: str, kind: type[R]) -> R:
    manifest = _read(store, f"{prefix}/{layout.MANIFEST}", kind, MAX_MANIFEST_BYTES)
    if manifest is None:
        raise RecordError(f"{prefix}/{layout.MANIFEST} is missing: the record is incomplete")
    return manifest


def _read(store: ObjectStore, key: str, kind: type[R], limit: int) -> R | None:
    try:
        return kind.model_validate_json(store.get_bytes(key, limit))
    except NotFound:
        return None
    except TooLarge:
        raise RecordError(f"{key} is larger than {limit} bytes") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise RecordError(f"{key} is not a valid {kind.__name__}: {where}: {first['msg'][:200]}") from None


def _gone(store: ObjectStore, run_prefix: str, below: str = "") -> Gone:
    """Return a function that tells whether the tombstone lists a missing file. It reads the tombstone on first use."""

    @cache
    def listed() -> dict[str, tuple[int, str]]:
        expired = read_expired(store, run_prefix)
        return {file.path: (file.size, file.sha256) for file in expired.files} if expired else {}

    def gone(entry: FileEntry) -> bool:
        path = below + entry.path
        return layout.is_artifact(path) and listed().get(path) == (entry.size, entry.sha256)

    return gone


def _check_files(store: ObjectStore, prefix: str, files: list[FileEntry], deep: bool, gone: Gone) -> None:
    stored = {info.key: info.size for info in store.list(prefix + "/")}
    seen: set[str] = set()
    for entry in files:
        if entry.path in seen:
            raise RecordError(f"{prefix}/{layout.MANIFEST} lists {entry.path!r} twice")
        seen.add(entry.path)
        _check_file(store, prefix, entry, stored, deep, gone)


def _check_file(
    store: ObjectStore, prefix: str, entry: FileEntry, stored: dict[str, int], deep: bool, gone: Gone
) -> None:
    try:
        key = layout.key(prefix, entry.path)
    except ValueError as error:
        raise RecordError(f"{prefix}/{layout.MANIFEST} lists {entry.path!r}: {error}") from None
    if key not in stored:
        if gone(entry):
            return
        raise RecordError(f"{key} is missing in the store")
    if stored[key] != entry.size:
        raise RecordError(f"{key} has {stored[key]} bytes, its manifest says {entry.size}")
    if deep and store.digest(key) != (entry.size, entry.sha256):
        raise RecordError(f"{key} has another sha256 than its manifest says")
