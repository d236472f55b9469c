"""What a run or a version has in the store: its files, as the manifest beside them lists them.

The name of a run stands for its record, that of a version or an alias for the registered copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from assay.api.errors import ObjectNotFound, RequestFailed
from assay.api.objects import Raw
from assay.queries import references
from assay.queries.access import Access
from assay.queries.runs import recorded
from assay.store import layout, sealing
from assay.store.errors import RecordError
from assay.store.models import read_model
from assay.store.verify import read_expired, run_manifest


class File(NamedTuple):
    """One file. `path` is relative to the prefix; `sha256` is "" where no manifest vouches for it yet."""

    path: str
    size: int
    sha256: str
    expired: bool = False


@dataclass(frozen=True)
class Stored:
    """The files of a run or a version. `body` is the object; `artifacts` the folder that people mean by the name."""

    name: str
    kind: str
    prefix: str
    artifacts: str
    body: Raw
    files: list[File] = field(default_factory=list)

    def shown(self, path: str) -> str:
        """A path as people write it: below the artifacts without their folder."""
        return path.removeprefix(f"{self.artifacts}/")

    @property
    def artifact_files(self) -> list[File]:
        """Only what lies below the artifacts."""
        return [file for file in self.files if file.path.startswith(f"{self.artifacts}/")]


def find(access: Access, text: str) -> Stored:
    """Return what a run, a version or an alias has in the store. Raises AssayError, StoreError."""
    if references.version_name(text) or references.alias_name(text):
        return _of_version(access, references.version(access, text))
    return _of_run(access, recorded.find(access, text))


def _of_version(access: Access, body: Raw) -> Stored:
    spec, name = body["spec"], body["metadata"]["name"]
    prefix = layout.model_prefix(access.namespace, spec["model"], spec["version"])
    if not (body.get("status") or {}).get("artifact"):
        why = (body.get("status") or {}).get("message") or "its bytes were not copied yet"
        raise ObjectNotFound(f"{name} has no registered copy: {why}")
    found = read_model(access.store, prefix).manifest
    files = [File(entry.path, entry.size, entry.sha256) for entry in found.files]
    return Stored(name, "version", prefix, layout.ARTIFACT, body, files)


def _of_run(access: Access, run: Raw) -> Stored:
    prefix, pod = layout.prefix_of(run), recorded.pod_of(run)
    folder = layout.PODS if sealing.is_sealed(access.store, prefix) else layout.INTAKE
    artifacts = f"{folder}/{pod or '_'}/{layout.ARTIFACTS}"
    return Stored(run["metadata"]["name"], "run", prefix, artifacts, run, _run_files(access, prefix))


def _run_files(access: Access, prefix: str) -> list[File]:
    store = access.store
    try:
        manifest = run_manifest(store, prefix)
    except RecordError as error:
        # While it goes on, there is none: what has come until now is there all the same.
        files = [File(info.key.removeprefix(prefix + "/"), info.size, "") for info in store.list(prefix + "/")]
        access.note(f"nothing vouches for these files yet: {error}")
        return files
    expired = read_expired(store, prefix)
    gone = {file.path for file in expired.files} if expired else set()
    return [File(each.path, each.size, each.sha256, each.path in gone) for each in manifest.files]


def chosen(stored: Stored, paths: list[str]) -> list[tuple[str, File]]:
    """Return the files at some paths (files or whole folders) with where each goes; all artifacts when none is given.

    A path is one below the artifacts, or one in the record. As `cp -r` does, the last part of it is what appears.
    Raises AssayError for a path at which there is nothing, or nothing any more.
    """
    if not paths:
        everything = _present(stored, stored.artifact_files, "all of it")
        return [(stored.shown(file.path), _plain(stored, file)) for file in everything]
    found: dict[str, File] = {}
    for path in paths:
        wanted = path.strip("/")
        files = _at(stored, f"{stored.artifacts}/{wanted}") or _at(stored, wanted)
        if not files:
            hint = references.near(wanted, [stored.shown(file.path) for file in stored.files])
            hint = hint or f"`assay artifacts ls {stored.name}` lists what there is"
            raise ObjectNotFound(f"{stored.name} has no file or folder {path}", hint=hint)
        _add(found, stored, files, wanted)
    return list(found.items())


def _at(stored: Stored, path: str) -> list[tuple[str, File]]:
    """The files at a path, and their paths relative to the folder that it is in."""
    above = path.rpartition("/")[0]
    start = len(above) + 1 if above else 0
    return [(file.path[start:], file) for file in stored.files if f"{file.path}/".startswith(f"{path}/")]


def _plain(stored: Stored, file: File) -> File:
    """A file whose path leads nowhere else: manifests of pods are written by whoever trains there."""
    try:
        layout.key(stored.prefix, file.path)
    except ValueError as error:
        raise RequestFailed(f"the manifest of {stored.name} lists {file.path!r}: {error}") from None
    return file


def _add(found: dict[str, File], stored: Stored, files: list[tuple[str, File]], wanted: str) -> None:
    _present(stored, [file for _, file in files], wanted)
    for target, file in files:
        if found.setdefault(target, _plain(stored, file)) != file:
            hint = "get them one after the other, into folders of their own"
            raise RequestFailed(f"two of the files would be {target}", hint=hint)


def _present(stored: Stored, files: list[File], what: str) -> list[File]:
    if any(file.expired for file in files):
        hint = "the run was kept as long as its retention says; its manifest and metrics are still there"
        raise ObjectNotFound(f"{stored.name}: {what} has expired, the files were deleted", hint=hint)
    if not files:
        raise ObjectNotFound(f"{stored.name} has left no artifacts")
    return files
