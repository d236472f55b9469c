"""A blocking client of one bucket in an S3-compatible store: few operations, bounded timeouts, distinct errors.

It never retries (the caller decides for how long) and never queries the bucket's region (a pod's credentials may not
allow it). Its messages never contain a credential. Threads may share an ObjectStore; processes may not.
"""

from __future__ import annotations

import hashlib
import io
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, NamedTuple, TypeAlias
from xml.etree.ElementTree import ParseError

import certifi
import minio
import urllib3
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import MinioException

from assay.store.config import StoreConfig
from assay.store.errors import AlreadyExists, Busy, StoreDenied, StoreError, StoreUnavailable, TooLarge
from assay.store.faults import error_document, http_fault, translate
from assay.store.signed import Refused, SignedRequests, md5
from assay.store.upload import upload

__all__ = ["ObjectInfo", "ObjectStore", "VersionInfo"]

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
_CHUNK = 1 << 20
_DELETES = 1000
_CONNECTIONS = 16
_Headers: TypeAlias = dict[str, str | list[str] | tuple[str]]


class ObjectInfo(NamedTuple):
    """The metadata of one object. `size` in bytes."""

    key: str
    size: int


class VersionInfo(NamedTuple):
    """One version of an object in a versioned bucket. A deletion is a version too (a delete marker)."""

    key: str
    latest: bool
    deletion: bool


class CopyRange(NamedTuple):
    """`length` bytes of an object, beginning at `start`."""

    bucket: str
    key: str
    start: int
    length: int


def http_pool(config: StoreConfig) -> urllib3.PoolManager:
    """A connection pool with timeouts that trusts the public certificate authorities and the configured ones."""
    context = None
    if config.secure or config.sts_endpoint.startswith("https:"):
        context = ssl.create_default_context(cafile=certifi.where())
        if authorities := config.authorities():
            context.load_verify_locations(cadata=authorities)
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=False,
        maxsize=_CONNECTIONS,
        ssl_context=context,
    )


class ObjectStore:
    """One bucket. Every method raises StoreUnavailable, StoreDenied, NotFound or StoreError."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config
        self._http = http_pool(config)
        self._client = minio.Minio(
            config.host,
            access_key=config.access_key,
            secret_key=config.secret_key,
            session_token=config.session_token or None,
            secure=config.secure,
            region=config.region,
            http_client=self._http,
        )
        self._signed = SignedRequests(config, self._http)

    def ensure_bucket(self, object_lock: bool = False) -> None:
        """Create the bucket if it does not exist. `object_lock` applies to a new bucket, if the store supports it."""
        with self._faults():
            if self._client.bucket_exists(self.config.bucket):
                return
        with self._faults():
            try:
                self._client.make_bucket(self.config.bucket, self.config.region, object_lock)
            except minio.S3Error as error:
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def object_lock(self) -> bool:
        """Whether the bucket has object lock, which protects objects from changes and deletion."""
        with self._faults():
            try:
                answer = self._signed.send("GET", query={"object-lock": ""})
            except Refused as error:
                known = error_document(error.body)[0]
                unknown = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed")
                if known in unknown or error.status in (405, 501):
                    return False
                raise
        # Some stores answer every query about a bucket with the list of its objects.
        return b"<ObjectLockEnabled>Enabled<" in answer.data

    def put_bytes(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object in one request. Replaces an existing one."""
        with self._faults(key):
            self._client.put_object(
                self.config.bucket,
                key,
                io.BytesIO(data),
                len(data),
                content_type=content_type,
                part_size=max(len(data), 5 << 20),
            )

    def put_file(self, key: str, source: BinaryIO, size: int) -> tuple[int, str]:
        """Stream `size` bytes of `source` into an object, in parallel parts if it is large.

        Returns the size and the sha256 (hex) of the uploaded bytes; the source is read once. Raises SourceError if
        the source ends early or cannot be read.
        """
        return upload(lambda request: request(self), key, source, size)

    def create(
        self,
        key: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        retain_until: datetime | None = None,
    ) -> None:
        """Write an object that must not exist yet. Raises AlreadyExists; Busy if another writer is creating it.

        With `retain_until` the object cannot be changed or deleted before that time (in a bucket with object lock).
        """
        headers = {"Content-Type": content_type}
        if retain_until:
            headers |= {
                "Content-MD5": md5(data),
                "x-amz-object-lock-mode": "COMPLIANCE",
                "x-amz-object-lock-retain-until-date": retain_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        with self._faults(key):
            try:
                self._signed.create(key, data, headers)
            except Refused as error:
                if error.status == 412:
                    raise AlreadyExists(self._message(key, "the key already exists")) from None
                if error.status == 409:
                    raise Busy(self._message(key, "another writer is creating the same key")) from None
                raise

    def get_bytes(self, key: str, limit: int) -> bytes:
        """Read an object of at most `limit` bytes. Raises TooLarge."""
        data = bytearray()
        for chunk in self.read_chunks(key):
            data += chunk
            if len(data) > limit:
                raise TooLarge(self._message(key, f"larger than {limit} bytes"))
        return bytes(data)

    def read_chunks(self, key: str, start: int = 0, length: int = 0, etag: str = "") -> Iterator[bytes]:
        """Read `length` bytes from the byte `start` (0: to the end), in chunks of at most 1 MiB.

        With an `etag`, raises StoreError if the object no longer has this ETag.
        """
        headers: _Headers | None = {"If-Match": f'"{etag}"'} if etag else None
        with self._faults(key):
            response = self._client.get_object(
                self.config.bucket, key, offset=start, length=length, request_headers=headers
            )
            complete = False
            try:
                yield from response.stream(_CHUNK, decode_content=False)
                complete = True
            finally:
                # A connection with unread data must not return to the pool.
                if complete:
                    response.release_conn()
                else:
                    response.close()

    def digest(self, key: str) -> tuple[int, str]:
        """The size and the sha256 (hex) of an object. Reads all of it."""
        size, digest = 0, hashlib.sha256()
        for chunk in self.read_chunks(key):
            size += len(chunk)
            digest.update(chunk)
        return size, digest.hexdigest()

    def stat(self, key: str) -> ObjectInfo:
        """The metadata of one object. Raises NotFound."""
        with self._faults(key):
            found = self._client.stat_object(self.config.bucket, key)
            return ObjectInfo(key, found.size or 0)

    def identity(self, key: str) -> tuple[int, str]:
        """The size and the ETag of one object. Pass the ETag to `read_chunks`. Raises NotFound."""
        with self._faults(key):
            found = self._client.stat_object(self.config.bucket, key)
            return found.size or 0, (found.etag or "").strip('"')

    def list(self, prefix: str, after: str = "", page: int = 1000) -> Iterator[ObjectInfo]:
        """All objects whose keys start with `prefix` and sort after the key `after`, sorted by key.

        Requests `page` keys at a time, and the next page only when the iterator needs it.
        """
        with self._faults(prefix):
            for found in self._signed.pages(prefix, after=after, size=page):
                for key, size in found.keys:
                    yield ObjectInfo(key, size)

    def folders(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names of the folders directly below `prefix` (ends with a slash) that sort after the name `after`."""
        # "0" is the character after the slash, so everything that begins with `<after>/` sorts before it.
        start = f"{prefix}{after}0" if after else ""
        with self._faults(prefix):
            for found in self._signed.pages(prefix, delimiter="/", after=start):
                for folder in found.folders:
                    yield folder.removeprefix(prefix).rstrip("/")

    def files(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects directly below `prefix`, which ends with a slash, without those in its subfolders."""
        with self._faults(prefix):
            for found in self._signed.pages(prefix, delimiter="/"):
                for key, size in found.keys:
                    if not key.endswith("/"):  # some consoles create such objects for folders
                        yield ObjectInfo(key, size)

    def versions(self, prefix: str) -> Iterator[VersionInfo]:
        """All versions of all objects whose keys start with `prefix`. Without versioning, one version each."""
        with self._faults(prefix):
            for found in self._client.list_objects(self.config.bucket, prefix, recursive=True, include_version=True):
                latest = str(found.is_latest).lower() == "true"
                yield VersionInfo(found.object_name or "", latest, bool(found.is_delete_marker))

    def copy(self, key: str, bucket: str, source: str) -> None:
        """Copy an object of at most 5 GiB, of this bucket or another one, to `key` within the store."""
        with self._faults(f"{key} from {bucket}/{source}"):
            self._client.copy_object(self.config.bucket, key, CopySource(bucket, source))

    def copy_part(self, key: str, upload_id: str, number: int, source: CopyRange) -> str:
        """Copy a range of an object to a part of an upload within the store. Returns the part's ETag."""
        origin = CopySource(source.bucket, source.key, offset=source.start, length=source.length)
        last = source.start + source.length - 1
        headers = {key: str(value) for key, value in origin.gen_copy_headers().items()}
        headers["x-amz-copy-source-range"] = f"bytes={source.start}-{last}"
        with self._faults(f"{key} from {source.bucket}/{source.key}"):
            return self._signed.copy_part(key, upload_id, number, headers)

    def delete(self, key: str) -> None:
        """Delete one object. A missing object is not an error."""
        with self._faults(key):
            self._client.remove_object(self.config.bucket, key)

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete objects, up to a thousand per request. Missing objects are not an error."""
        for start in range(0, len(keys), _DELETES):
            some = keys[start : start + _DELETES]
            if not self._delete_at_once(some):
                # One name that cannot be written in XML makes the request for all of them fail.
                for key in some:
                    self.delete(key)

    def _delete_at_once(self, keys: Sequence[str]) -> bool:
        try:
            with self._faults(keys[0]):
                objects = [DeleteObject(key) for key in keys]
                return not list(self._client.remove_objects(self.config.bucket, objects))
        except (StoreUnavailable, StoreDenied):
            raise
        except StoreError:
            return False

    # Multipart uploads. The library's public method continues to read after a failure and leaks its threads, so
    # `assay.store.upload` makes these four requests itself.

    def begin_upload(self, key: str) -> str:
        """Start a multipart upload and return its id."""
        with self._faults(key):
            return self._signed.begin_upload(key)

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes) -> str:
        """Upload one part (numbers start at 1) and return its ETag."""
        with self._faults(key):
            return self._signed.upload_part(key, upload_id, number, data)

    def complete_upload(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Combine the parts into the object."""
        with self._faults(key):
            self._signed.complete_upload(key, upload_id, etags)

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard the uploaded parts."""
        with self._faults(key):
            self._signed.abort_upload(key, upload_id)

    def _message(self, key: str, reason: str) -> str:
        where = f"{self.config.bucket}/{key}" if key else f"bucket {self.config.bucket}"
        return f"{self.config.endpoint} {where}: {reason}"

    @contextmanager
    def _faults(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise http_fault(error.status, error.body, lambda reason: self._message(key, reason)) from None
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError) as error:
            raise translate(error, lambda reason: self._message(key, reason)) from None

    def __repr__(self) -> str:
        return f"ObjectStore({self.config.endpoint} {self.config.bucket})"
