"""Upload the files of /assay/artifacts: unchanged files during the training, all files at the end.

A file counts as recorded if it is the same before and after the read. Small files are uploaded in parallel, large
files one by one in parallel parts, so that memory stays bounded.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from assay.recorder.connection import GaveUp
from assay.recorder.folder import Listing, NotAFileError, Signature, open_file, scan
from assay.recorder.ledger import Ledger
from assay.store import layout
from assay.store.errors import SourceChanged, SourceError, StoreError, UploadLost
from assay.store.limits import MAX_FILES, MAX_RUN_BYTES, MAX_RUN_FILES

T = TypeVar("T")

SMALL_BYTES = 8 << 20
_PARALLEL = 4
_TRIES = 3


class Store(Protocol):
    """Executes requests, with as many retries as necessary."""

    def attempt(self, request: Callable[[Any], T]) -> T:
        """Return the result of the request. Raises StoreError for permanent failures, and GaveUp."""
        ...


class _TooLate(Exception):
    """The time limit for the final uploads has passed."""


class Artifacts:
    """The artifacts of one pod. Call `sweep` and `finish` from one thread, `counts` and `files` from any."""

    def __init__(
        self,
        folder: Path,
        prefix: str,
        ledger: Ledger,
        store: Store,
        *,
        max_files: int = MAX_RUN_FILES,
        max_bytes: int = MAX_RUN_BYTES,
    ) -> None:
        self._max_files, self._max_bytes = min(max_files, MAX_FILES), max_bytes
        self._folder = str(folder)
        self._prefix = prefix
        self._ledger = ledger
        self._store = store
        self._lock = threading.Lock()
        self._last = Listing()
        self._over = False
        self._until = math.inf
        self._in_time = self._late = 0  # files that were and were not uploaded at the end
        self._failed: dict[str, tuple[Signature, str]] = {}  # refused files: their signature, and the reason

    def sweep(self) -> None:
        """Upload the files that have not changed since the previous sweep."""
        listing = scan(self._folder, MAX_FILES)
        unchanged = [p for p, found in self._outdated(listing) if self._last.files.get(p) == found]
        self._last = listing
        self._upload_all(self._within_limits(unchanged))

    def finish(self, until: float = math.inf) -> None:
        """Upload every file whose current content is not in the store, until a time of the monotonic clock."""
        self._failed.clear()
        self._over = True
        self._until = until
        self._late = self._in_time = 0
        for _ in range(_TRIES):
            self._last = scan(self._folder, MAX_FILES)
            outdated = [path for path, _ in self._outdated(self._last)]
            if not outdated:
                return
            self._upload_all(self._within_limits(outdated))

    def counts(self) -> tuple[int, int]:
        """Return the number of artifacts in the store, and their bytes. After the end, of those in the folder."""
        with self._lock:
            sizes = [found.signature.size for path, found in self._ledger.recorded.items() if self._present(path)]
        return len(sizes), sum(sizes)

    def files(self) -> list[tuple[str, int, str]]:
        """Return path below the pod's prefix, size and sha256 of each artifact that is in the folder at the end."""
        return [entry for path, entry in self._entries() if self._present(path)]

    def history(self) -> list[tuple[str, int, str]]:
        """Return the same of each artifact that is in the store and was deleted from the folder before the end."""
        return [entry for path, entry in self._entries() if not self._present(path)]

    def _present(self, path: str) -> bool:
        return not self._over or self._last.covers(path)

    def _entries(self) -> list[tuple[str, tuple[str, int, str]]]:
        with self._lock:
            recorded = sorted(self._ledger.recorded.items())
        return [(path, (layout.artifact_path(path), found.signature.size, found.sha256)) for path, found in recorded]

    def missing(self) -> list[tuple[str, str]]:
        """Return path and reason of each file that could not be recorded, as of the last scan."""
        reasons = dict(self._last.refused)
        for path in self._ledger.uncertain & self._last.files.keys():
            reasons[path] = "kept changing while it was read"
        reasons |= {path: reason for path, (_, reason) in self._failed.items() if path in self._last.files}
        return sorted((f"{layout.ARTIFACTS}/{path}".rstrip("/"), reason) for path, reason in reasons.items())

    def skipped(self) -> list[tuple[str, str]]:
        """Return path and reason of each entry that is not a file or a link to one, as of the last scan."""
        return sorted((f"{layout.ARTIFACTS}/{path}".rstrip("/"), why) for path, why in self._last.skipped.items())

    def _outdated(self, listing: Listing) -> Iterable[tuple[str, Signature]]:
        for path, found in listing.files.items():
            recorded = self._ledger.recorded.get(path)
            failed = self._failed.get(path)
            if not (recorded and recorded.signature == found) and not (failed and failed[0] == found):
                yield path, found

    def _within_limits(self, paths: list[str]) -> list[str]:
        """Return the paths for which there is room. Remember why the others are left out."""
        with self._lock:
            sizes = {path: found.signature.size for path, found in self._ledger.recorded.items()}
        total, chosen = sum(sizes.values()), []
        for path in paths:
            signature = self._last.files[path]
            wanted = total - sizes.get(path, 0) + signature.size
            if wanted > self._max_bytes:
                self._failed[path] = signature, _too_much("bytes", self._max_bytes)
            elif path not in sizes and len(sizes) >= self._max_files:
                self._failed[path] = signature, _too_much("files", self._max_files)
            else:
                total, sizes[path] = wanted, signature.size
                chosen.append(path)
        return chosen

    def _upload_all(self, paths: list[str]) -> None:
        small = [path for path in paths if self._last.files[path].size <= SMALL_BYTES]
        if len(small) > 1:
            with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="artifact") as pool:
                list(pool.map(self._upload, small))
        else:
            list(map(self._upload, small))
        for path in paths:
            if self._last.files[path].size > SMALL_BYTES:
                self._upload(path)

    @property
    def late(self) -> tuple[int, int]:
        """How many files were not uploaded in time at the end, and how many were."""
        return self._late, self._in_time

    def _upload(self, path: str) -> None:
        """Upload one file, or remember why it cannot be uploaded."""
        signature = self._last.files[path]
        try:
            key = layout.key(self._prefix, layout.artifact_path(path))
            self._record(path, key)
            self._in_time += 1
        except _TooLate:
            self._late += 1
            self._failed[path] = signature, "was not uploaded within the pod's grace period"
        except FileNotFoundError:
            pass  # deleted since the scan; what was recorded of it stays
        except GaveUp:
            raise
        except (SourceChanged, UploadLost):
            pass  # the next sweep uploads it again from the start
        except (SourceError, NotAFileError, ValueError) as error:
            self._failed[path] = (signature, str(error))
        except StoreError as error:
            self._failed[path] = (signature, f"the store refuses it: {error}")

    def _attempt(self, request: Callable[[Any], T]) -> T:
        if time.monotonic() > self._until:
            raise _TooLate
        return self._store.attempt(request)

    def _record(self, path: str, key: str) -> None:
        from assay.store.upload import upload  # not needed until there is an artifact

        fd = open_file(self._folder, self._last.targets.get(path, path))
        with open(fd, "rb", buffering=0) as file:  # noqa: PTH123 (a descriptor has no path)
            before = Signature.of(os.fstat(fd))
            with self._lock:
                self._ledger.begin(path)
            _, sha256 = upload(self._attempt, key, file, before.size)
            if Signature.of(os.fstat(fd)) == before:
                with self._lock:
                    self._ledger.end(path, before, sha256)


def _too_much(what: str, limit: int) -> str:
    return f"the artifacts of a pod may have {limit} {what} (runs.max{what.capitalize()} of the chart)"
