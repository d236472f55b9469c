"""Signed S3 requests that the client library has no public method for: conditional writes, parts, pages of a listing.

The library's public functions build the URL and the signature (AWS Signature Version 4); no private function of it is
called. Raises Refused for an error response, which :func:`assay.store.faults.http_fault` converts, or urllib3's errors.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import unquote_plus, urlunsplit
from xml.etree import ElementTree

import urllib3
from minio.credentials.credentials import Credentials
from minio.helpers import BaseURL
from minio.signer import sign_v4_s3
from minio.time import to_amz_date

from assay.store.config import StoreConfig

_Headers: TypeAlias = dict[str, str | list[str] | tuple[str]]


@dataclass(frozen=True)
class Listing:
    """One page of a listing: keys with sizes in bytes, folders (only with a delimiter), and the continuation token."""

    keys: list[tuple[str, int]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    token: str = ""


class Refused(Exception):
    """The store answered with an error: the HTTP status and the body, which may be an error document."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP status {status}")
        self.status, self.body = status, body


class SignedRequests:
    """Sends requests for one bucket, signed with the keys of a configuration."""

    def __init__(self, config: StoreConfig, http: urllib3.PoolManager) -> None:
        self._config, self._http = config, http
        scheme = "https" if config.secure else "http"
        self._base = BaseURL(f"{scheme}://{config.host}", config.region)
        self._keys = Credentials(config.access_key, config.secret_key, config.session_token or None)

    def send(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return the response, with its body read. Raises Refused unless it is 200, 204 or 206."""
        url = self._base.build(
            method=method,
            region=self._config.region,
            bucket_name=self._config.bucket,
            object_name=key or None,
            query_params=dict(query or {}),
        )
        now = datetime.now(UTC)
        signed: _Headers = {**(headers or {}), "Host": url.netloc, "x-amz-date": to_amz_date(now)}
        # TLS protects the body in transit, so its MD5 is enough, which takes a third of the time of SHA-256.
        sha256 = "UNSIGNED-PAYLOAD" if self._config.secure else hashlib.sha256(body).hexdigest()
        signed["x-amz-content-sha256"] = sha256
        if self._config.secure and body:
            signed["Content-MD5"] = md5(body)
        if self._keys.session_token:
            signed["X-Amz-Security-Token"] = self._keys.session_token
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._config.region,
            headers=signed,
            credentials=self._keys,
            content_sha256=sha256,
            date=now,
        )
        answer = self._http.request(
            method, urlunsplit(url), body=body or None, headers={name: str(value) for name, value in signed.items()}
        )
        if answer.status not in (200, 204, 206):
            raise Refused(answer.status, answer.data)
        return answer

    def create(self, key: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Write an object that must not exist. Raises Refused: 412 if it exists, 409 if another writer is active."""
        self.send("PUT", key, headers={"If-None-Match": "*", **headers}, body=data)

    def pages(self, prefix: str, *, delimiter: str = "", after: str = "", size: int = 1000) -> Iterator[Listing]:
        """Yield the pages of a listing. Each page is requested when it is needed."""
        token = ""
        while True:
            query = {
                "list-type": "2",
                "prefix": prefix,
                "delimiter": delimiter,
                "max-keys": str(size),
                "encoding-type": "url",
                **({"continuation-token": token} if token else {}),
                **({"start-after": after} if after and not token else {}),
            }
            page = _listing(self.send("GET", query=query).data)
            yield page
            token = page.token
            if not token:
                return

    # Multipart uploads

    def begin_upload(self, key: str) -> str:
        """Start a multipart upload and return its id."""
        headers = {"Content-Type": "application/octet-stream"}
        return _text(self.send("POST", key, query={"uploads": ""}, headers=headers).data, "UploadId")

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes) -> str:
        """Upload a part and return its ETag."""
        answer = self.send("PUT", key, query={"partNumber": str(number), "uploadId": upload_id}, body=data)
        return str(answer.headers.get("etag") or "").strip('"')

    def copy_part(self, key: str, upload_id: str, number: int, headers: Mapping[str, str]) -> str:
        """Copy a part from another object within the store and return its ETag."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        return _text(_whole(self.send("PUT", key, query=query, headers=headers)), "ETag").strip('"')

    def complete_upload(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Combine the parts into the object."""
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, etag in enumerate(etags, 1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{etag}"'
        body = ElementTree.tostring(root)
        headers = {"Content-Type": "application/xml", "Content-MD5": md5(body)}
        _whole(self.send("POST", key, query={"uploadId": upload_id}, headers=headers, body=body))

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard the uploaded parts."""
        self.send("DELETE", key, query={"uploadId": upload_id})


def md5(data: bytes) -> str:
    """Return a body's MD5 in base64, the value of the header Content-MD5."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _whole(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body. S3 may answer 200 first and then send an error document; raises Refused in that case."""
    body = answer.data
    if b"<Error>" in body:
        raise Refused(500, body)
    return body


def _text(body: bytes, name: str) -> str:
    found = next((each.text for each in ElementTree.fromstring(body).iter() if _local(each) == name), None)  # noqa: S314
    if not found:
        raise ElementTree.ParseError(f"no {name}")
    return found


def _listing(body: bytes) -> Listing:
    root = ElementTree.fromstring(body)  # noqa: S314 (our own store)
    encoded = any(_local(each) == "EncodingType" and each.text == "url" for each in root)
    decode: Callable[[str], str] = unquote_plus if encoded else str
    page = Listing(token=next((each.text or "" for each in root if _local(each) == "NextContinuationToken"), ""))
    for each in root:
        found = {_local(part): part.text or "" for part in each}
        if _local(each) == "Contents":
            page.keys.append((decode(found["Key"]), int(found.get("Size") or 0)))
        elif _local(each) == "CommonPrefixes":
            page.folders.append(decode(found["Prefix"]))
    return page


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
