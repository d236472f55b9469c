"""Registered models: files are copied once from their source, verified, and never changed afterwards.

    models/<namespace>/<model>/v<N>/artifact/…      the model's files
                                    manifest.json   ModelManifest: written last, so its presence means verified

Approvals refer to the digest over these bytes. Every copy is read back and hashed before the manifest is written; the
run's manifest and the store's answers are not trusted.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import pydantic

from assay.store import clock, layout
from assay.store.client import ObjectStore
from assay.store.copying import copy_object
from assay.store.digests import PREFIX
from assay.store.errors import AlreadyExists, NotFound, RecordError, TooLarge
from assay.store.expiry import check_kept
from assay.store.limits import MAX_FILES, MAX_MANIFEST_BYTES
from assay.store.parallel import ordered
from assay.store.records import FileEntry, ModelManifest, RunIdentity
from assay.store.verify import model_digest, verify_pod

WORKERS = 4


class SourceFile(NamedTuple):
    """One file of a model, with its path in the model. `sha256` is "" if it was not recorded."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ModelSource:
    """The location of a model's files, `<bucket>/<prefix>/<path>` each. `digest` is "" until they were read.

    `folder` distinguishes a folder with one file from a single file: their digests differ.
    """

    uri: str
    bucket: str
    prefix: str
    files: tuple[SourceFile, ...]
    folder: bool
    digest: str = ""


class RegisteredModel(NamedTuple):
    """A registered version. `manifest_digest` is the digest of manifest.json; `bytes` is the size of all files."""

    prefix: str
    uri: str
    manifest: ModelManifest
    manifest_digest: str

    @property
    def files(self) -> int:
        """The number of files."""
        return len(self.manifest.files)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(entry.size for entry in self.manifest.files)


def source_of_pod(store: ObjectStore, pod_prefix: str, path: str) -> ModelSource:
    """The model at `artifacts/<path>` of a pod, according to the pod's manifest.

    Raises RecordError, NotFound, ArtifactsExpired if the artifacts are deleted, or Busy if their deletion has begun.
    """
    where = layout.artifact_path(path)
    check_kept(store, layout.run_prefix(*layout.parse_pod_prefix(pod_prefix)[0]))
    manifest = verify_pod(store, pod_prefix)
    found = model_digest(manifest.files, where)
    return _listed(store, pod_prefix, where, manifest.files, found)


def source_of_uri(store: ObjectStore, uri: str) -> ModelSource:
    """The model at `s3://<bucket>/<key or prefix>`. Raises ValueError, RecordError, NotFound.

    The digests of a registered model and of a pod's artifacts come from their manifests. The digests of files at any
    other location, in this bucket or another one of the same store, are computed after the copy.
    """
    bucket, path = parse_uri(uri)
    if bucket == store.config.bucket:
        pod, _, artifact = path.partition(f"/{layout.ARTIFACTS}/")
        if path.startswith("runs/") and artifact:
            return source_of_pod(store, pod, artifact)
        if path.startswith("models/"):
            manifest = read_model(store, path).manifest
            return _listed(store, path, manifest.path, manifest.files, manifest.digest)
    return _unlisted(ObjectStore(replace(store.config, bucket=bucket)), uri, path)


def parse_uri(uri: str) -> tuple[str, str]:
    """Split `s3://<bucket>/<path>` into bucket and key or prefix, without a trailing slash. Raises ValueError."""
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    path = path.rstrip("/")
    if scheme != "s3" or not bucket or not path:
        raise ValueError(f"{uri[:300]!r} is not s3://<bucket>/<prefix>")
    try:
        layout.check_path(path)
    except ValueError as error:
        raise ValueError(f"{uri[:300]!r}: {error}") from None
    return bucket, path


def _listed(store: ObjectStore, prefix: str, where: str, files: list[FileEntry], digest: str) -> ModelSource:
    """The files that a manifest lists at `where`: a single file, or everything in a folder."""
    bucket = store.config.bucket
    for entry in files:
        if entry.path == where:
            above, _, name = where.rpartition("/")
            alone = (SourceFile(name, entry.size, entry.sha256),)
            return ModelSource(f"s3://{bucket}/{prefix}/{where}", bucket, f"{prefix}/{above}", alone, False, digest)
    inside = [entry for entry in files if entry.path.startswith(where + "/")]
    found = tuple(SourceFile(entry.path.removeprefix(where + "/"), entry.size, entry.sha256) for entry in inside)
    return ModelSource(f"s3://{bucket}/{prefix}/{where}", bucket, f"{prefix}/{where}", found, True, digest)


def _unlisted(store: ObjectStore, uri: str, path: str) -> ModelSource:
    """The files that the store lists at a location without a manifest."""
    above, _, name = path.rpartition("/")
    try:
        size = store.stat(path).size
    except NotFound:
        found: list[SourceFile] = []
        for info in store.list(path + "/"):
            if not info.key.endswith("/"):  # some consoles create such objects for folders
                found.append(SourceFile(info.key.removeprefix(path + "/"), info.size, ""))
            if len(found) > MAX_FILES:
                raise RecordError(f"{uri} has more than {MAX_FILES} files") from None
        if not found:
            raise NotFound(f"{uri}: there is no such file or folder") from None
        return ModelSource(uri, store.config.bucket, path, tuple(found), True)
    return ModelSource(uri, store.config.bucket, above, (SourceFile(name, size, ""),), False)


def copy_model(
    store: ObjectStore,
    source: ModelSource,
    namespace: str,
    model: str,
    version: int,
    expected: str,
    run: RunIdentity | None = None,
) -> RegisteredModel:
    """Copy a model below `models/`, verify every byte, and write its manifest. Safe to repeat after any failure.

    Blocks while the store copies the bytes and sends them once. Raises RecordError if the digest of the bytes is not
    `expected` ("sha256:<hex>"), or if the version holds other bytes; then there is no manifest. Raises
    StoreUnavailable (a retry does not copy finished files again), StoreDenied, NotFound and ValueError.
    """
    prefix = layout.model_prefix(namespace, model, version)
    if source.digest and source.digest != expected:
        raise RecordError(f"{source.uri}: expected the digest {expected}, found {source.digest}")
    if known := _known(store, prefix, expected):
        return known
    present = {info.key: info.size for info in store.list(prefix + "/")}
    entries = list(ordered(lambda file: _copy_file(store, source, prefix, file, present), source.files, WORKERS))
    path = layout.ARTIFACT if source.folder else entries[0].path
    if (found := model_digest(entries, path)) != expected:
        raise RecordError(f"{source.uri}: expected the digest {expected}, found {found}")
    for key in present.keys() - {f"{prefix}/{entry.path}" for entry in entries}:
        store.delete(key)  # left by an attempt with another source that did not finish
    whose = layout.ModelKey(namespace, model, version)
    _write_manifest(store, prefix, whose, ModelFiles(path, entries, expected, source.uri, run))
    return _known(store, prefix, expected) or _lost(prefix)


def registered_model(
    store: ObjectStore, namespace: str, model: str, version: int, expected: str
) -> RegisteredModel | None:
    """The registered version; None if it is not registered. Raises RecordError if it holds other bytes."""
    return _known(store, layout.model_prefix(namespace, model, version), expected)


class ModelFiles(NamedTuple):
    """The files of a manifest: `digest` is that of the file or folder `path`; `source` is where they came from."""

    path: str
    entries: list[FileEntry]
    digest: str
    source: str
    run: RunIdentity | None


def _write_manifest(store: ObjectStore, prefix: str, key: layout.ModelKey, files: ModelFiles) -> None:
    manifest = ModelManifest(
        namespace=key.namespace,
        model=key.model,
        number=key.version,
        path=files.path,
        digest=files.digest,
        files=files.entries,
        source=files.source,
        run=files.run,
        written=clock.now(),
    )
    with suppress(AlreadyExists):  # another operator wrote one first: use that one
        store.create(f"{prefix}/{layout.MANIFEST}", manifest.to_json(), "application/json")


def _lost(prefix: str) -> RegisteredModel:
    raise RecordError(f"{prefix}/{layout.MANIFEST} was written but does not exist")


def _known(store: ObjectStore, prefix: str, expected: str) -> RegisteredModel | None:
    """The registered version; None if it is not registered."""
    try:
        store.stat(f"{prefix}/{layout.MANIFEST}")
    except NotFound:
        return None
    known = verify_model(store, prefix)
    if known.manifest.digest != expected:
        raise RecordError(
            f"{prefix} holds another model: expected the digest {expected}, found {known.manifest.digest}"
        )
    return known


def _copy_file(
    store: ObjectStore, source: ModelSource, prefix: str, file: SourceFile, present: dict[str, int]
) -> FileEntry:
    """Copy one file if necessary, and verify the copy. Raises RecordError if it differs from what was recorded."""
    path = f"{layout.ARTIFACT}/{file.path}"
    key = layout.key(prefix, path)
    if file.sha256 and present.get(key) == file.size and store.digest(key) == (file.size, file.sha256):
        return FileEntry(path=path, size=file.size, sha256=file.sha256)
    copy_object(store, key, source.bucket, f"{source.prefix}/{file.path}", file.size)
    size, sha256 = store.digest(key)
    if size != file.size or sha256 != (file.sha256 or sha256):
        raise RecordError(
            f"{source.bucket}/{source.prefix}/{file.path} was changed after it was recorded: "
            f"expected {file.size} bytes with sha256 {file.sha256 or 'unknown'}, found {size} with {sha256}"
        )
    return FileEntry(path=path, size=size, sha256=sha256)


def read_model(store: ObjectStore, prefix: str) -> RegisteredModel:
    """The manifest of a registered model. Does not check its files. Raises RecordError."""
    key = layout.parse_model_prefix(prefix)
    where = f"{prefix}/{layout.MANIFEST}"
    try:
        data = store.get_bytes(where, MAX_MANIFEST_BYTES)
        manifest = ModelManifest.model_validate_json(data)
    except NotFound:
        raise RecordError(f"{where} is missing: the model is not registered") from None
    except TooLarge:
        raise RecordError(f"{where} is larger than {MAX_MANIFEST_BYTES} bytes") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part)[:80] for part in first["loc"])
        raise RecordError(f"{where} is not a valid ModelManifest: {path}: {first['msg'][:200]}") from None
    if (manifest.namespace, manifest.model, manifest.number) != tuple(key):
        other = f"{manifest.namespace}/{manifest.model} v{manifest.number}"
        raise RecordError(f"{where} is the manifest of another model, {other}")
    uri = f"s3://{store.config.bucket}/{prefix}/"
    return RegisteredModel(prefix, uri, manifest, PREFIX + hashlib.sha256(data).hexdigest())


def verify_model(store: ObjectStore, prefix: str, deep: bool = False) -> RegisteredModel:
    """Verify that the store has exactly the files of a registered model. Raises RecordError, which names the file.

    With `deep` every byte is read; otherwise only sizes are compared.
    """
    found = read_model(store, prefix)
    where, manifest = f"{prefix}/{layout.MANIFEST}", found.manifest
    try:
        listed = {layout.key(prefix, entry.path): entry for entry in manifest.files}
    except ValueError as error:
        raise RecordError(f"{where} lists an invalid file: {error}") from None
    if len(listed) != len(manifest.files):
        raise RecordError(f"{where} lists a file twice")
    if any(not entry.path.startswith(layout.ARTIFACT + "/") for entry in manifest.files):
        raise RecordError(f"{where} lists a file outside {layout.ARTIFACT}/")
    try:
        digest = model_digest(manifest.files, manifest.path)
    except NotFound:
        digest = "none"
    if digest != manifest.digest:
        raise RecordError(
            f"{where}: expected the digest {manifest.digest}, found {digest} over the files that it lists"
        )
    _check_stored(store, prefix, listed)
    if deep:
        for _ in ordered(lambda item: _check_bytes(store, *item), listed.items(), WORKERS):
            pass
    return found


def _check_stored(store: ObjectStore, prefix: str, listed: dict[str, FileEntry]) -> None:
    stored = {info.key: info.size for info in store.list(prefix + "/")}
    for key, entry in listed.items():
        if key not in stored:
            raise RecordError(f"{key} is missing in the store")
        if stored[key] != entry.size:
            raise RecordError(f"{key}: expected {entry.size} bytes, found {stored[key]}")
    if extra := sorted(stored.keys() - listed.keys() - {f"{prefix}/{layout.MANIFEST}"}):
        raise RecordError(f"{extra[0]} is not in the manifest: {len(extra)} file(s) were added")


def _check_bytes(store: ObjectStore, key: str, entry: FileEntry) -> None:
    try:
        _, sha256 = store.digest(key)
    except NotFound:
        raise RecordError(f"{key} is missing in the store") from None
    if sha256 != entry.sha256:
        raise RecordError(f"{key}: expected the sha256 {entry.sha256}, found {sha256}")
