"""The recorder's disk folder: parts of the metrics, and the state that counts them.

It survives restarts of the container but not of the pod. A commit writes the part and then the state; each is written
to a temporary name, synced and renamed. The rename of the state is the commit point: a part that the state does not
count is ignored.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.recorder.state import Part, State
from assay.store.clock import now

_LEVEL = 3  # a third of the CPU time of gzip's default, and 10 % more bytes

_ENDING = "ending"
_LEAST_SECONDS = 2.0  # the kubelet gives every sidecar this time, also after the grace period

Checkpoint = Callable[[str], None]


def _no_checkpoint(_: str) -> None:
    """Do nothing. Tests stop the recorder here."""


def remaining(folder: Path, grace: float) -> float:
    """The seconds that are left of the pod's grace period, which all its containers share."""
    try:
        began = float((folder / _ENDING).read_text())
    except (OSError, ValueError):
        return grace
    return max(_LEAST_SECONDS, min(grace, grace - (time.time() - began)))


class Spool:
    """Reads and writes the folder. Raises OSError if the disk is full or the folder cannot be written."""

    def __init__(self, folder: Path, pod: str, checkpoint: Checkpoint = _no_checkpoint) -> None:
        self.folder = folder
        self._pod = pod
        self._checkpoint = checkpoint
        self._parts = folder / "parts"
        self._parts.mkdir(parents=True, exist_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the manifest is in the store and nothing is left to do."""
        return (self.folder / "finished").exists()

    def mark_finished(self) -> None:
        """Record that the manifest is in the store."""
        (self.folder / "finished").touch()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process records this pod, and keep others waiting. A lock ends with its process."""
        with (self.folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def mark_ending(self) -> None:
        """Record when the end began, for the standby. It has the same clock."""
        if not (self.folder / _ENDING).exists():
            (self.folder / _ENDING).write_text(str(time.time()))

    def load(self) -> State:
        """The state of the last commit, or a new state."""
        for left in (*self.folder.glob("*.tmp"), *self._parts.glob("*.tmp")):
            left.unlink()
        try:
            state = State.from_dict(json.loads((self.folder / "state.json").read_bytes()))
        except FileNotFoundError:
            return State(self._pod, now())
        if state.pod != self._pod:
            raise OSError(f"the spool belongs to the pod {state.pod}")
        # Only parts that are in the store are evicted, and a full disk may have had no room to save that.
        while state.evicted < len(state.parts) and not self.part_file(state.evicted + 1).exists():
            state.evicted += 1
        state.uploaded = max(state.uploaded, state.evicted)
        return state

    def part_file(self, number: int) -> Path:
        """The path of the part with this number."""
        return self._parts / f"part-{number:05d}.jsonl.gz"

    def part_files(self, state: State) -> list[Path]:
        """All committed parts, in order."""
        return [self.part_file(number) for number in range(1, len(state.parts) + 1)]

    def commit(self, state: State, rows: list[str]) -> None:
        """Write `rows`, if any, as the next part, and save the state with its position."""
        added = None
        if rows:
            data = gzip.compress("".join(rows).encode(), _LEVEL, mtime=0)
            added = Part(len(data), hashlib.sha256(data).hexdigest())
            self._write(self.part_file(len(state.parts) + 1), data, "part")
            state.parts.append(added)
        try:
            self.save(state)
        except OSError:
            if added:
                state.parts.pop()
            raise

    def save(self, state: State) -> None:
        """Write the state only."""
        self._write(self.folder / "state.json", json.dumps(state.to_dict()).encode(), "state")

    def evict(self, state: State) -> bool:
        """Delete parts that are known to be in the store, to free space. True if there were any."""
        dropped = range(state.evicted + 1, state.uploaded + 1)
        for number in dropped:
            self.part_file(number).unlink(missing_ok=True)
        state.evicted = max(state.evicted, state.uploaded)
        return bool(dropped)

    def _write(self, path: Path, data: bytes, step: str) -> None:
        temporary = path.with_name(path.name + ".tmp")
        self._checkpoint(f"{step}: before writing")
        try:
            _write_synced(temporary, data)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._checkpoint(f"{step}: before the rename")
        temporary.replace(path)
        _sync_folder(path.parent)
        self._checkpoint(f"{step}: after the rename")


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
