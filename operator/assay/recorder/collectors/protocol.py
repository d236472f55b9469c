"""What every collector has to do, and what it gets.

A collector reads one source and adds points, parameters and tags to the record. Its position says up to where it has
read. The position is committed to the spool together with what was added since the last commit. A recorder that is
killed therefore reads again exactly what it had not committed: no point is lost and none is doubled. A source that is
pushed to, such as an HTTP endpoint, first appends to a journal in its own folder, then acknowledges; it collects the
journal.

Files need no collector: a source writes them below /assay/artifacts, and they are uploaded with the other artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assay.recorder.record import Record

#: Plain data for JSON. Empty before the first commit.
Position = dict[str, Any]


@dataclass(frozen=True)
class Surroundings:
    """What a collector may use."""

    #: /assay, the volume that the training writes to. Do not trust its content.
    directory: Path
    #: A folder of the collector's own in the spool. It survives restarts of the recorder, and may not exist yet.
    folder: Path
    #: The source's field of `spec.collect`; {} if it is not set.
    options: Mapping[str, Any]
    #: Unix seconds.
    clock: Callable[[], float]


class Collector(Protocol):
    """Reads one source. All methods are called from one thread."""

    @property
    def problem(self) -> str:
        """Why the source cannot be read, such as "is a symlink"; "" if it can be read or is not there yet."""
        ...

    def poll(self, record: Record, *, final: bool) -> bool:
        """Add what is new, within a fraction of a second. True if something was read: then there may be more now.

        `final`: the training containers have ended, so a last incomplete item counts. Raise only if the source is
        unusable: it is closed, and the error is reported in the record. Nothing may have been added by that call.
        """
        ...

    def position(self) -> Position:
        """The position after everything that `poll` has added so far."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


#: Opens a source at a position.
Opener = Callable[[Surroundings, Position], Collector]
