"""Checks that what a manifest lists is in the store, and says which file is not.

A record counts only when it was verified: the manifest is there, is well-formed, and every file of it has
the size, and with `deep` the sha256, that the manifest says. Reads only.
"""

from __future__ import annotations

from typing import TypeVar

import pydantic

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.digests import folder_digest
from assay.store.errors import NotFound, RecordError, TooLarge
from assay.store.limits import MAX_MANIFEST_BYTES, MAX_SUMMARY_BYTES
from assay.store.records import FileEntry, PodManifest, Record, RunManifest, Summary

R = TypeVar("R", bound=Record)


def read_summary(store: ObjectStore, pod_prefix: str) -> Summary | None:
    """The live summary of a pod, None while there is none. Raises RecordError for one that cannot be read."""
    return _read(store, f"{pod_prefix}/{layout.SUMMARY}", Summary, MAX_SUMMARY_BYTES)


def verify_pod(store: ObjectStore, pod_prefix: str, deep: bool = False) -> PodManifest:
    """The manifest of a pod whose files are all in the store. Raises RecordError, naming the file."""
    _, pod = layout.parse_pod_prefix(pod_prefix)
    manifest = _manifest(store, pod_prefix, PodManifest)
    if manifest.pod != pod or manifest.summary.pod != pod:
        raise RecordError(f"{pod_prefix}/{layout.MANIFEST} is the manifest of another pod, {manifest.pod!r}")
    _check_files(store, pod_prefix, manifest.files, deep)
    return manifest


def verify_run(store: ObjectStore, run_prefix: str, deep: bool = False) -> RunManifest:
    """The manifest of a run whose files are all in the store. Raises RecordError, naming the file."""
    key = layout.parse_run_prefix(run_prefix)
    manifest = _manifest(store, run_prefix, RunManifest)
    said = (manifest.namespace, manifest.experiment or None, manifest.name, manifest.uid)
    if said != tuple(key):
        raise RecordError(f"{run_prefix}/{layout.MANIFEST} is the manifest of another run, {manifest.uid!r}")
    _check_files(store, run_prefix, manifest.files, deep)
    return manifest


def model_digest(files: list[FileEntry], path: str) -> str:
    """The digest of a file or a folder among `files`, "sha256:<hex>". Raises NotFound when there is none.

    Of a file: its sha256. Of a folder: the sha256 over the sorted lines that `sha256sum` prints, that is
    "<sha256>  <path relative to the folder>" and a newline.
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


def _check_files(store: ObjectStore, prefix: str, files: list[FileEntry], deep: bool) -> None:
    stored = {info.key: info.size for info in store.list(prefix + "/")}
    seen: set[str] = set()
    for entry in files:
        if entry.path in seen:
            raise RecordError(f"{prefix}/{layout.MANIFEST} lists {entry.path!r} twice")
        seen.add(entry.path)
        _check_file(store, prefix, entry, stored, deep)


def _check_file(store: ObjectStore, prefix: str, entry: FileEntry, stored: dict[str, int], deep: bool) -> None:
    try:
        key = layout.key(prefix, entry.path)
    except ValueError as error:
        raise RecordError(f"{prefix}/{layout.MANIFEST} lists {entry.path!r}: {error}") from None
    if key not in stored:
        raise RecordError(f"{key} is missing in the store")
    if stored[key] != entry.size:
        raise RecordError(f"{key} has {stored[key]} bytes, its manifest says {entry.size}")
    if deep and store.digest(key) != (entry.size, entry.sha256):
        raise RecordError(f"{key} has another sha256 than its manifest says")
