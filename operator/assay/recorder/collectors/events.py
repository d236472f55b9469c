"""Records of TensorBoard's event files: their frames, and the events in them. Pure.

A file is a sequence of frames of a TFRecord: the length as uint64, its masked CRC-32C, the data, and the data's CRC.
Only the CRC of the length is checked: without it a damaged file would send the reader anywhere, while the one of the
data takes a second for 5 MB in Python. Messages: tensorflow/core/util/event.proto, framework/summary.proto,
framework/tensor.proto and tensorboard/plugins/hparams/plugin_data.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from assay.planning.protobuf import content, doubles, fields, floats, signed, text, varints

HEAD_BYTES, TAIL_BYTES = 12, 4
#: A larger frame is not an event with scalars or an image of usual size.
MAX_FRAME_BYTES = 64 << 20
_MASK = 0xA282EAD8
#: How the fields of a tensor with numbers are packed.
_NUMBERS: dict[int, Callable[[int | bytes], Sequence[float]]] = {5: floats, 6: doubles, 7: varints, 10: varints}
_FLOAT, _DOUBLE, _INT32, _STRING, _INT64 = 1, 2, 3, 7, 9


class Damaged(ValueError):
    """The file is not a sequence of frames at this place."""


@dataclass
class Value:
    """One value of a summary. `scalar` is None unless it is a single number."""

    tag: str
    plugin: str = ""
    plugin_data: bytes = b""
    scalar: float | None = None
    image: bytes = b""
    histogram: bool = False


@dataclass
class Event:
    """One event. `time` is in unix seconds. `restarted`: the writer discards what it had written from `step` on."""

    time: float = 0.0
    step: int = 0
    restarted: bool = False
    values: list[Value] = field(default_factory=list)


def frame_size(head: bytes) -> int:
    """Return the number of data bytes of a frame, given its first bytes. Raises Damaged."""
    length, crc = struct.unpack("<QI", head)
    if crc != _masked_crc(head[:8]):
        raise Damaged("the length of a record is damaged")
    if length > MAX_FRAME_BYTES:
        raise Damaged(f"a record has {length} bytes")
    return int(length)


def frame(data: bytes) -> bytes:
    """Return data as a frame, without the CRC of the data. For tests."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", _masked_crc(head)) + data + b"\0" * TAIL_BYTES


def event(data: bytes) -> Event:
    """Return the event in a frame. Raises ValueError for malformed data."""
    found = Event()
    for number, value in fields(data):
        if number == 1:
            (found.time,) = doubles(value)
        elif number == 2:
            found.step = signed(value)
        elif number == 5:
            found.values += [_value(content(each)) for key, each in fields(content(value)) if key == 1]
        elif number == 7:
            found.restarted = any(key == 1 and each == 1 for key, each in fields(content(value)))
    return found


def _value(data: bytes) -> Value:
    found = Value("")
    for number, value in fields(data):
        if number == 1:
            found.tag = text(value)
        elif number == 2:
            (found.scalar,) = floats(value)
        elif number == 4:
            found.image = next((content(each) for key, each in fields(content(value)) if key == 4), b"")
        elif number == 5:
            found.histogram = True
        elif number == 8:
            _tensor(content(value), found)
        elif number == 9:
            _metadata(content(value), found)
    return found


def _metadata(data: bytes, into: Value) -> None:
    for number, value in fields(data):
        if number == 1:
            for key, each in fields(content(value)):
                if key == 1:
                    into.plugin = text(each)
                elif key == 2:
                    into.plugin_data = content(each)


def _tensor(data: bytes, into: Value) -> None:
    """Take a tensor with a single number, or the PNG of an image's tensor."""
    kind, sizes, raw = 0, list[int](), b""
    numbers: list[float] = []
    strings: list[bytes] = []
    for number, value in fields(data):
        if number == 1:
            kind = signed(value)
        elif number == 2:
            sizes = [_size(content(each)) for key, each in fields(content(value)) if key == 2]
        elif number == 4:
            raw = content(value)
        elif number == 8:
            strings.append(content(value))
        elif number in _NUMBERS:
            numbers += _NUMBERS[number](value)
    numbers = numbers or list(_raw(kind, raw))
    if kind == _STRING:
        # An image is [width, height, PNG, …].
        into.image = next((each for each in strings if each.startswith(b"\x89PNG")), b"")
    elif len(numbers) == 1 and all(size == 1 for size in sizes):
        into.scalar = float(numbers[0])
    else:
        into.histogram = True


def _raw(kind: int, raw: bytes) -> Iterator[float]:
    """Yield the numbers of a tensor that is stored as memory; none unless it is a single number."""
    formats = {_FLOAT: "<f", _DOUBLE: "<d", _INT32: "<i", _INT64: "<q"}
    if kind in formats and len(raw) == struct.calcsize(formats[kind]):
        yield from struct.unpack(formats[kind], raw)


def _size(data: bytes) -> int:
    return next((signed(value) for number, value in fields(data) if number == 1), 0)


def hyperparameters(data: bytes) -> dict[str, str]:
    """Return the hyperparameters in the data of the plugin `hparams`; {} if it has none. Raises ValueError."""
    found: dict[str, str] = {}
    for number, start in fields(data):
        if number != 3:  # session_start_info
            continue
        for key, entry in fields(content(start)):
            if key == 1:
                parts = dict(fields(content(entry)))
                found[text(parts.get(1, b""))] = _protobuf_value(content(parts.get(2, b"")))
    return found


def _protobuf_value(data: bytes) -> str:
    """Return a google.protobuf.Value as Python writes it."""
    for number, value in fields(data):
        if number == 2:
            (found,) = doubles(value)
            return str(int(found)) if found.is_integer() and abs(found) < 2**53 else repr(found)
        if number == 3:
            return text(value)
        if number == 4:
            return str(bool(value))
    return ""


def _table() -> list[int]:
    """Return the table of CRC-32C (Castagnoli), reflected."""
    found = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
        found.append(crc)
    return found


_TABLE = _table()


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
