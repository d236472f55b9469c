"""Converts the libraries' exceptions to the store's own errors: one line of reason, without credentials."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import minio
import urllib3
from minio.error import InvalidResponseError, ServerError

from assay.store.errors import NotFound, StoreDenied, StoreError, StoreUnavailable, UploadLost

Message = Callable[[str], str]

_NOT_FOUND = {"NoSuchKey", "NoSuchBucket", "ResourceNotFound"}
_DENIED = {
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "InvalidTokenId",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_BUSY_STATUS = {408, 409, 425, 429}
_BUSY = {"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "ServiceUnavailable", "InternalError"}
_MAX_REASON = 300


def translate(error: Exception, message: Message) -> StoreError:
    """The store's own error for an exception of a library."""
    if isinstance(error, minio.S3Error):
        status = error.response.status if error.response is not None else 0
        return _by_code(str(error.code), str(error.message), status, message)
    if isinstance(error, ServerError):
        return _by_code("", str(error), error.status_code, message)
    if isinstance(error, InvalidResponseError):
        return _by_code("", f"answered with HTTP status {error._code} and no S3 error", error._code, message)
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return StoreUnavailable(message(f"cannot be reached: {_short(error)}"))
    if isinstance(error, ElementTree.ParseError):
        return StoreUnavailable(message("did not answer with an S3 document"))
    return StoreError(message(_short(error)))


def http_fault(status: int, body: bytes, message: Message) -> StoreError:
    """The store's own error for an HTTP response, which may contain an S3 or STS error document."""
    code, text = error_document(body)
    return _by_code(code, text or f"answered with HTTP status {status}", status, message)


def error_document(body: bytes) -> tuple[str, str]:
    """Code and message of an S3 or STS error document; empty if `body` is not one."""
    try:
        root = ElementTree.fromstring(body.decode("utf-8", "replace")[:65536])  # noqa: S314 (our own store)
    except ElementTree.ParseError:
        return "", ""
    found = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return found.get("Code", ""), found.get("Message", "")


def _by_code(code: str, text: str, status: int, message: Message) -> StoreError:
    reason = message(_clean(f"{text} ({code})" if code else text))
    if code == "NoSuchUpload":
        return UploadLost(reason)
    if code in _DENIED or status in (401, 403):
        return StoreDenied(reason)
    if code in _NOT_FOUND or status == 404:
        return NotFound(reason)
    if code in _BUSY or status in _BUSY_STATUS or (status >= 500 and status != 501):  # 501: not implemented
        return StoreUnavailable(reason)
    return StoreError(reason)


def _short(error: Exception) -> str:
    """The innermost reason, without object addresses and without queries, which contain signatures."""
    text = str(error) or type(error).__name__
    text = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>:? ?", "", text)
    text = re.sub(r"\S*Connection(Pool)?\([^()]*\): ", "", text)
    return _clean(text)


def _clean(text: str) -> str:
    text = re.sub(r"\?\S*X-Amz-\S*", "?…", text)
    return " ".join(text.split())[:_MAX_REASON]
