"""Downloads files from the store: in parallel, verified while they arrive, resumable."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.errors import FAILED, NO, UNREACHABLE, CliError
from assay.cli.output import printing
from assay.fetch.connection import Connection
from assay.fetch.downloads import Continued, Item, Progress, download_all
from assay.fetch.errors import FetchError, StoreSilent
from assay.store.client import ObjectStore

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

WORKERS = 8
_RETRY_SECONDS = 60.0


def download(store: ObjectStore, items: Sequence[Item], folder: Path) -> None:
    """Download files into a folder, which may have parts of them. Raises CliError, StoreError.

    After an error, all data downloaded so far is kept, and the next call resumes there.
    """
    size = sum(item.size or 0 for item in items)
    try:
        for above in {(folder / item.target).parent for item in items}:
            above.mkdir(parents=True, exist_ok=True)
        _check_room(folder, size, items)
        with _shown(len(items), size) as progress:
            connection = Connection(lambda: store, _RETRY_SECONDS, printing.note)
            download_all([Continued(item, folder, connection, progress) for item in items], connection, WORKERS)
    except StoreSilent as error:
        hint = "run the same command again to resume the download"
        raise CliError(f"cannot download from the store: {error}", hint=hint, code=UNREACHABLE) from None
    except FetchError as error:
        raise CliError(str(error), hint="the data in the store differs from what was recorded", code=NO) from None
    except OSError as error:
        raise CliError(f"cannot write to {folder}: {error.strerror or error}", code=FAILED) from None


def _check_room(folder: Path, size: int, items: Sequence[Item]) -> None:
    known = sum(path.stat().st_size for item in items if (path := folder / item.target).is_file())
    free = shutil.disk_usage(folder).free
    if size - known > free:
        raise CliError(f"not enough space in {folder}: {size - known} bytes needed, {free} available")


@contextmanager
def _shown(files: int, size: int) -> Iterator[Progress]:
    """Show the progress: a bar on a terminal, otherwise an occasional line."""
    if not sys.stderr.isatty():
        yield Progress(files, size, printing.note)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars, size)


class _Bar(Progress):
    def __init__(self, bars: Bars, size: int) -> None:
        super().__init__(0, size, printing.note)
        self._bars, self._turn = bars, threading.Lock()
        self._task = bars.add_task("", total=size)

    def add(self, files: int, count: int) -> None:
        """Add the number of bytes that arrived since the last call."""
        with self._turn:
            self._bars.advance(self._task, count)


def sweep(folder: Path, targets: Sequence[str]) -> None:
    """Remove everything from a folder except the targets."""
    expected = {folder / target for target in targets}
    for above, folders, names in os.walk(folder, topdown=False):
        for path in (Path(above) / name for name in names + folders):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in expected:
                path.unlink()
