"""The files of a run or a version in the store, as its manifest lists them.

The name of a run selects its record, that of a version or an alias the registered copy.
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
    """One file. `path` is relative to the prefix; `sha256` is "" if no manifest lists it yet."""

    path: str
    size: int
    sha256: str
    expired: bool = False


@dataclass(frozen=True)
class Stored:
    """The files of a run or a version. `body` is the object, `artifacts` the folder of its artifacts."""

    name: str
    kind: str
    prefix: str
    artifacts: str
    body: Raw
    files: list[File] = field(default_factory=list)

    def shown(self, path: str) -> str:
        """Return a path as the user sees it: relative to the folder of the artifacts."""
        return path.removeprefix(f"{self.artifacts}/")

    @property
    def artifact_files(self) -> list[File]:
        """The files in the folder of the artifacts."""
        return [file for file in self.files if file.path.startswith(f"{self.artifacts}/")]


def find(access: Access, text: str) -> Stored:
    """Return the files of a run, a version or an alias in the store. Raises AssayError, StoreError."""
    if references.version_name(text) or references.alias_name(text):
        return _of_version(access, references.version(access, text))
    return _of_run(access, recorded.find(access, text))


def _of_version(access: Access, body: Raw) -> Stored:
    spec, name = body["spec"], body["metadata"]["name"]
    prefix = layout.model_prefix(access.namespace, spec["model"], spec["version"])
    if not (body.get("status") or {}).get("artifact"):
        why = (body.get("status") or {}).get("message") or "its bytes have not been copied yet"
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
        # A running run has no manifest yet, but it has uploaded files.
        files = [File(info.key.removeprefix(prefix + "/"), info.size, "") for info in store.list(prefix + "/")]
        access.note(f"these files are not verified, there is no manifest yet: {error}")
        return files
    expired = read_expired(store, prefix)
    gone = {file.path for file in expired.files} if expired else set()
    return [File(each.path, each.size, each.sha256, each.path in gone) for each in manifest.files]


def chosen(stored: Stored, paths: list[str]) -> list[tuple[str, File]]:
    """Return the files at the paths of files or folders with their targets; without paths, all artifacts.

    A path is relative to the artifacts or to the record. Like `cp -r`, the target begins with its last component.
    Raises AssayError for a path without files, or whose files have expired.
    """
    if not paths:
        everything = _present(stored, stored.artifact_files, "all artifacts")
        return [(stored.shown(file.path), _plain(stored, file)) for file in everything]
    found: dict[str, File] = {}
    for path in paths:
        plain = path.strip("/")
        files = _at(stored, f"{stored.artifacts}/{plain}") or _at(stored, plain)
        if not files:
            hint = references.near(plain, [stored.shown(file.path) for file in stored.files])
            hint = hint or f"`assay artifacts ls {stored.name}` lists them"
            raise ObjectNotFound(f"{stored.name} has no file or folder {path}", hint=hint)
        _add(found, stored, files, plain)
    return list(found.items())


def _at(stored: Stored, path: str) -> list[tuple[str, File]]:
    """Return the files at a path, with their paths relative to its parent folder."""
    above = path.rpartition("/")[0]
    start = len(above) + 1 if above else 0
    return [(file.path[start:], file) for file in stored.files if f"{file.path}/".startswith(f"{path}/")]


def _plain(stored: Stored, file: File) -> File:
    """Check that the path of a file does not leave the prefix: training pods write their manifests themselves."""
    try:
        layout.key(stored.prefix, file.path)
    except ValueError as error:
        raise RequestFailed(f"the manifest of {stored.name} lists {file.path!r}: {error}") from None
    return file


def _add(found: dict[str, File], stored: Stored, files: list[tuple[str, File]], path: str) -> None:
    _present(stored, [file for _, file in files], path)
    for target, file in files:
        if found.setdefault(target, _plain(stored, file)) != file:
            hint = "download them separately, into different folders"
            raise RequestFailed(f"two files have the same target {target}", hint=hint)


def _present(stored: Stored, files: list[File], what: str) -> list[File]:
    if any(file.expired for file in files):
        hint = "its retention has ended; the manifest and the metrics are still in the store"
        raise ObjectNotFound(f"{stored.name}: {what} expired and was deleted", hint=hint)
    if not files:
        raise ObjectNotFound(f"{stored.name} has no artifacts")
    return files
