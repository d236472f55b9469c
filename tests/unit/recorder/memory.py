"""A store in memory that fails on demand. For faults only: what a real store does is tested against real ones."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class MemoryStore:
    """Holds objects; `before` is called with the key before each write, and may raise."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.before: Callable[[str], None] = lambda key: None
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()

    def attempt(self, request: Callable[[Any], T]) -> T:
        return request(self)

    def put_bytes(self, key: str, data: bytes, content_type: str = "") -> None:
        self.before(key)
        with self._lock:
            self.objects[key] = data
            self.writes.append(key)

    def begin_upload(self, key: str) -> str:
        self._uploads[key] = {}
        return key

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes) -> str:
        self.before(key)
        self._uploads[upload_id][number] = data
        return str(number)

    def complete_upload(self, key: str, upload_id: str, etags: list[str]) -> None:
        parts = self._uploads.pop(upload_id)
        assert etags == [str(number) for number in range(1, len(parts) + 1)]
        self.put_bytes(key, b"".join(parts[number] for number in sorted(parts)))

    def abort_upload(self, key: str, upload_id: str) -> None:
        self._uploads.pop(upload_id)
