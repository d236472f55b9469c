"""Event files of TensorBoard: scalars become points, hyperparameters parameters, and images artifacts.

The files are found below /assay, or in the folder that `spec.collect.tensorboard.path` names. They are read with the
package's own decoder: the readers of the packages `tensorboard` and `tbparse` have no position that could be saved (see
docs/design.md). What is left out, such as histograms, is counted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from assay.recorder.collectors import events
from assay.recorder.collectors.events import HEAD_BYTES, TAIL_BYTES, Damaged, Event, Value
from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.record import Record, shorten
from assay.recorder.writing import write_below
from assay.store.points.times import unix_seconds

#: Where the pod mounts the folder of `spec.collect.tensorboard.path`; see planning.runs.collecting.
FOLDER = "/tensorboard"
_MARK = "tfevents"
_CHUNK_BYTES = 256 << 10
_MAX_FILES, _MAX_FOLDERS, _MAX_DEPTH = 1000, 5000, 12
_SCAN_SECONDS, _SCAN_SHARE = 2.0, 50
_MAX_TAGS = 10_000
#: Folders that a writer creates side by side: their names are part of the metrics' names.
_SPLITS = frozenset({"train", "training", "validation", "valid", "val", "eval", "evaluation", "test", "predict"})
#: The folder in which add_hparams of torch and tensorboardX puts its file.
_HPARAMS = re.compile(r"\d{9,12}(\.\d+)?")
_UNSAFE = re.compile(r"[^\w.\-]+")
_MAX_NAME_BYTES, _SHORT_NAME_CHARS = 200, 40


class TensorBoard:
    """Follows all event files below a folder."""

    def __init__(self, surroundings: Surroundings, position: Position) -> None:
        own = bool(surroundings.options.get("path"))
        self._root = Path(os.environ.get("ASSAY_TENSORBOARD") or FOLDER) if own else surroundings.directory
        self._artifacts = surroundings.directory / "artifacts"
        self._clock = surroundings.clock
        #: By the path of a file below the root: the bytes that were read, or -1 for a file that is damaged.
        self._offsets: dict[str, int] = dict(position.get("offsets", {}))
        #: The folder whose metrics have no prefix.
        self._base: str | None = position.get("base")
        self._plugins: dict[str, str] = dict(position.get("plugins", {}))
        self._left_out: dict[str, int] = dict(position.get("left_out", {}))
        #: The largest step of a scalar in each folder.
        self._reached: dict[str, int] = dict(position.get("reached", {}))
        self._sizes: dict[str, int] = {}
        self._scan_at = 0.0
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why some of the files cannot be read."""
        return self._problem

    def poll(self, record: Record, *, final: bool) -> bool:
        """Read one piece of one file."""
        now = time.monotonic()
        if now >= self._scan_at:
            self._scan()
            self._scan_at = time.monotonic() + max(_SCAN_SECONDS, _SCAN_SHARE * (time.monotonic() - now))
        if self._read_any(record, final=False):
            return True
        if final:
            self._scan()  # once more, after everything that was known is read
            if self._read_any(record, final=True):
                return True
        if final and self._left_out:
            counted = ", ".join(f"{count} {what}" for what, count in sorted(self._left_out.items()))
            record.totals.event(f"tensorboard: not recorded: {counted}", kind="tensorboard left out")
        return False

    def position(self) -> Position:
        """How far each file was read, and what the names of metrics depend on."""
        return {
            "offsets": dict(self._offsets),
            "base": self._base,
            "plugins": dict(self._plugins),
            "left_out": dict(self._left_out),
            "reached": dict(self._reached),
        }

    def close(self) -> None:
        """Nothing is open between two polls."""

    # Files

    def _read_any(self, record: Record, *, final: bool) -> bool:
        return any(self._read(path, record, final) for path in sorted(self._sizes))

    def _scan(self) -> None:
        found = dict(_event_files(self._root))
        self._sizes = dict(sorted(found.items())[:_MAX_FILES])
        if len(found) > _MAX_FILES:
            self._problem = f"has more than {_MAX_FILES} event files"
        if self._base is None and found:
            first = min(found, key=lambda path: (path.count("/"), path.rpartition("/")[2], path))
            folder = first.rpartition("/")[0]
            above, _, name = folder.rpartition("/")
            self._base = above if name.lower() in _SPLITS else folder

    def _read(self, path: str, record: Record, final: bool) -> bool:
        """Read a piece of a file. True if there was a complete record."""
        offset = self._offsets.get(path, 0)
        if offset < 0 or self._sizes[path] <= offset:
            return False
        try:
            data = self._piece(path, offset)
            used, found = self._frames(path, data, offset)
        except FileNotFoundError:
            # Its folder was cleaned up since the scan, which does not make the record of the others incomplete.
            record.totals.event(f"tensorboard: {shorten(path)} was deleted before it was read to its end")
            return False
        except OSError as error:
            self._problem = f"cannot be read: {shorten(path)}: {error.strerror}"
            return False
        except Damaged as error:
            record.totals.event(
                f"tensorboard: {shorten(path)}: byte {offset}: {error}: the rest of the file is skipped"
            )
            self._offsets[path] = -1
            return True
        if not used:
            if final:
                record.totals.event(f"tensorboard: {shorten(path)} ends in the middle of a record")
            return False
        for each in found:
            self._take(path, each, record)
        self._offsets[path] = offset + used
        return True

    def _piece(self, path: str, offset: int) -> bytes:
        """Return the next bytes of a file: at least a whole record if there is one."""
        fd = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file")
            data = os.pread(fd, _CHUNK_BYTES, offset)
            if len(data) >= HEAD_BYTES:
                whole = HEAD_BYTES + events.frame_size(data[:HEAD_BYTES]) + TAIL_BYTES
                data = data if len(data) >= whole else os.pread(fd, whole, offset)
        finally:
            os.close(fd)
        return data

    def _frames(self, path: str, data: bytes, offset: int) -> tuple[int, list[Event]]:
        """Return the number of bytes of the complete records, and their events."""
        used, found = 0, list[Event]()
        while len(data) - used >= HEAD_BYTES:
            try:
                size = events.frame_size(data[used : used + HEAD_BYTES])
            except Damaged:
                if used:
                    break  # the next call reports it
                raise
            end = used + HEAD_BYTES + size + TAIL_BYTES
            if end > len(data):
                break
            try:
                found.append(events.event(data[used + HEAD_BYTES : end - TAIL_BYTES]))
            except ValueError:
                self._count("malformed records")
            used = end
        return used, found

    # Events

    def _take(self, path: str, event: Event, record: Record) -> None:
        seconds = unix_seconds(event.time, self._clock())[0]
        when = self._clock() if seconds is None else seconds
        if event.restarted:
            self._restarted(path, event.step, record)
        for value in event.values:
            self._value(path, value, event.step, when, record)

    def _restarted(self, path: str, step: int, record: Record) -> None:
        """Report a session that begins at an earlier step, as writers with `purge_step` do.

        TensorBoard hides what the folder had from that step on. The record is evidence: what was measured stays in it.
        """
        reached = self._reached.get(path.rpartition("/")[0])
        if reached is not None and step <= reached:
            record.totals.event(
                f"tensorboard: {shorten(path)} starts again at step {step}: the earlier points of the steps {step} to "
                f"{reached} are kept",
                kind="tensorboard restart",
            )

    def _value(self, path: str, value: Value, step: int, when: float, record: Record) -> None:
        name, where = self._name(path, value.tag), f"tensorboard: {shorten(path)}"
        plugin = value.plugin or self._plugins.get(name, "")
        if value.plugin and value.plugin != "scalars" and len(self._plugins) < _MAX_TAGS:
            self._plugins[name] = value.plugin
        if plugin == "hparams":
            self._hyperparameters(value, where, record)
        elif value.image:
            self._image(name, step, value.image)
        elif value.scalar is not None and plugin in ("", "scalars"):
            folder = path.rpartition("/")[0]
            self._reached[folder] = max(step, self._reached.get(folder, step))
            record.points([(name, value.scalar)], step, when, where)
        else:
            self._count(f"{plugin or ('histograms' if value.histogram else 'other values')}")

    def _hyperparameters(self, value: Value, where: str, record: Record) -> None:
        try:
            found = events.hyperparameters(value.plugin_data)
        except ValueError:
            self._count("malformed hparams")
            return
        for name, text in found.items():
            record.parameter(name, text, where)

    def _image(self, name: str, step: int, data: bytes) -> None:
        parts = [_folder_name(part) for part in name.split("/")]
        suffix = "png" if data.startswith(b"\x89PNG") else "gif" if data.startswith(b"GIF") else "jpg"
        try:
            write_below(self._artifacts, ["tensorboard", *parts, f"{step}.{suffix}"], data)
        except OSError as error:
            self._problem = f"has images that cannot be written to the artifacts: {error.strerror}"

    def _name(self, path: str, tag: str) -> str:
        """Return the name of a metric: the tag, below the file's folder unless that is the base.

        The folder is relative to the base, or to the folder above it for folders beside the base.
        """
        folder, base = path.rpartition("/")[0], self._base or ""
        if folder == base:
            return tag
        tops = [f"{top}/" for top in (base, base.rpartition("/")[0]) if top]
        inside = next((folder.removeprefix(top) for top in tops if folder.startswith(top)), folder)
        parts = [part for part in inside.split("/") if not _HPARAMS.fullmatch(part)]
        return "/".join([*parts, tag])

    def _count(self, what: str) -> None:
        self._left_out[what] = self._left_out.get(what, 0) + 1


def _folder_name(part: str) -> str:
    """Return a part of a tag as the name of a folder. Tags may be long, such as prompts, and differ only at the end."""
    name = _UNSAFE.sub("_", part).lstrip(".") or "_"
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(part.encode("utf-8", "replace")).hexdigest()
    return f"{name[:_SHORT_NAME_CHARS]}-{digest[:8]}"


def _event_files(root: Path) -> Iterator[tuple[str, int]]:
    """Yield path below the root and size of each event file. Links are not followed."""
    waiting, seen = [("", 0)], 0
    while waiting and seen < _MAX_FOLDERS:
        folder, depth = waiting.pop()
        seen += 1
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting += [(path, depth + 1)] if depth < _MAX_DEPTH and path != "artifacts/tensorboard" else []
                    elif _MARK in entry.name and entry.is_file(follow_symlinks=False):
                        yield path, entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # it has just been removed, or is not readable
