"""Reads files from a web server, over https only. The content is trusted only if its digest matches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import urllib3

from assay.store.client import http_pool
from assay.store.config import StoreConfig
from assay.store.errors import StoreError
from assay.store.faults import http_fault, translate

_CHUNK = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_Response = urllib3.BaseHTTPResponse


class Web:
    """Reads files by URL. Every method raises StoreUnavailable, StoreDenied, NotFound or StoreError."""

    def __init__(self, ca: str = "") -> None:
        self._http = http_pool(StoreConfig("https://", ca_pem=ca))

    def size(self, url: str) -> int | None:
        """The size of a file in bytes; None if the server does not report it.

        Requests one byte, because some servers do not support HEAD.
        """
        with self._get(url, {"Range": "bytes=0-0"}) as response:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if response.status != 206:
                total = response.headers.get("Content-Length", "")
        return int(total) if total.isascii() and total.isdigit() else None

    def read_chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        """Yield the content of a file in chunks, beginning at the byte `start`."""
        with self._get(key, {"Range": f"bytes={start}-"} if start else {}) as response:
            # A server without range support sends the file from the beginning.
            skip = start if response.status == 200 else 0
            for chunk in response.stream(_CHUNK, decode_content=False):
                yield chunk[skip:]
                skip = max(0, skip - len(chunk))

    @contextmanager
    def _get(self, url: str, headers: Mapping[str, str]) -> Iterator[_Response]:
        try:
            response = self._follow(url, headers)
            try:
                if response.status not in (200, 206):
                    raise http_fault(response.status, b"", lambda reason: f"{shown(url)}: {reason}")
                yield response
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise translate(error, lambda reason: f"{shown(url)}: {reason}") from None

    def _follow(self, url: str, headers: Mapping[str, str]) -> _Response:
        here = url
        for _ in range(_MAX_REDIRECTS + 1):
            if urlsplit(here).scheme != "https":
                raise StoreError(f"{shown(url)}: redirects to {shown(here)}, which is not https")
            response = self._http.request(
                "GET", here, headers={"Accept-Encoding": "identity", **headers}, redirect=False, preload_content=False
            )
            if response.status not in _REDIRECTS:
                return response
            response.close()
            here = urljoin(here, response.headers.get("Location", ""))
        raise StoreError(f"{shown(url)}: more than {_MAX_REDIRECTS} redirects")


def shown(url: str) -> str:
    """A URL for messages, without the query, which may contain a signature."""
    return url.partition("?")[0].partition("#")[0][:500]
