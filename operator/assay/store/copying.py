"""Copies objects of any size within the store: the bytes do not pass through this process.

A successful copy proves nothing about the content. Callers that need certainty read the copy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from assay.store.client import CopyRange, ObjectStore
from assay.store.errors import StoreError
from assay.store.upload import MAX_PARTS

# A store may copy a few hundred MB per second and must answer within the client's timeout. S3 copies at most 5 GiB
# per request.
COPY_PART_BYTES = 256 << 20
_PARALLEL = 4


def copy_object(store: ObjectStore, key: str, bucket: str, source: str, size: int) -> None:
    """Copy an object of `size` bytes, of any bucket that the store's credentials can read, to `key`."""
    if size <= COPY_PART_BYTES:
        store.copy(key, bucket, source)
        return
    upload_id = store.begin_upload(key)
    try:
        etags = _copy_parts(store, key, upload_id, bucket, source, size)
        store.complete_upload(key, upload_id, etags)
    except BaseException:
        with suppress(StoreError):
            store.abort_upload(key, upload_id)
        raise


def _copy_parts(store: ObjectStore, key: str, upload_id: str, bucket: str, source: str, size: int) -> list[str]:
    step = max(COPY_PART_BYTES, -(-size // MAX_PARTS))
    ranges = [CopyRange(bucket, source, start, min(step, size - start)) for start in range(0, size, step)]
    pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="copy")
    try:
        parts = [pool.submit(store.copy_part, key, upload_id, number, part) for number, part in enumerate(ranges, 1)]
        return [part.result() for part in parts]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
