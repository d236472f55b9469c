"""The wire format of protocol buffers, for event files of TensorBoard and parsed CEL expressions. Pure.

Source: https://protobuf.dev/programming-guides/encoding. The data may come from an untrusted file. Groups are not
supported. Malformed data raises ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_SIGN = 1 << 63

#: A field's number, and its value: an integer for a varint, else its bytes.
Field = tuple[int, int | bytes]


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message in order."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} is not supported")
        if at + size > len(data):
            raise ValueError("a field ends after its message")
        yield number, data[at : at + size]
        at += size


def signed(value: int | bytes) -> int:
    """Return an int64 from a varint."""
    if isinstance(value, bytes):
        raise ValueError("a number is expected")  # noqa: TRY004 - one error for all malformed data
    return value - (1 << 64) if value & _SIGN else value


def floats(value: int | bytes) -> list[float]:
    """Return one or several packed floats."""
    return [number for (number,) in struct.iter_unpack("<f", _whole(value, 4))]


def doubles(value: int | bytes) -> list[float]:
    """Return one or several packed doubles."""
    return [number for (number,) in struct.iter_unpack("<d", _whole(value, 8))]


def varints(value: int | bytes) -> list[int]:
    """Return one or several packed int64."""
    if isinstance(value, int):
        return [signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(signed(number))
    return found


def content(value: int | bytes) -> bytes:
    """Return a string, bytes or a message."""
    if isinstance(value, int):
        raise ValueError("bytes are expected")  # noqa: TRY004 - one error for all malformed data
    return value


def text(value: int | bytes) -> str:
    """Return a string. Invalid UTF-8 is replaced."""
    return content(value).decode("utf-8", "replace")


def _whole(value: int | bytes, size: int) -> bytes:
    data = content(value)
    if len(data) % size:
        raise ValueError("a packed field is cut off")
    return data


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = 0
    for count in range(_MAX_VARINT_BYTES):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return found & ((1 << 64) - 1), at
    raise ValueError("a number is cut off")
