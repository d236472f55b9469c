"""Downloads a run's data sets to their folders. Each folder appears atomically when its download is complete.

If a digest was declared and the data set differs from it, the training does not start. If none was declared, the
digest is computed. The report lists the digests that the training reads; the training cannot write to it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from assay.fetch import folders
from assay.fetch.connection import Connection, CredentialsFile
from assay.fetch.dataset_settings import Dataset, DatasetSettings
from assay.fetch.downloads import Download, Item, Progress, Say, download_all
from assay.fetch.errors import FetchError, Mismatch, Missing
from assay.fetch.web import Web, shown
from assay.store import layout
from assay.store.client import ObjectInfo, ObjectStore
from assay.store.config import StoreConfig
from assay.store.credentials import dataset_credentials
from assay.store.digests import PREFIX, folder_digest
from assay.store.errors import NotFound, StoreDenied, StoreError
from assay.store.limits import MAX_FILES
from assay.store.locations import Location, parse


@dataclass(frozen=True)
class Plan:
    """The files to fetch of one data set. `folder` distinguishes a folder with one file from a single file."""

    dataset: Dataset
    directory: Path
    connection: Connection[Any]
    items: list[Item]
    folder: bool

    @property
    def size(self) -> int:
        """The size in bytes, without files of unknown size."""
        return sum(item.size or 0 for item in self.items)


def fetch_datasets(settings: DatasetSettings, say: Say) -> None:
    """Fetch all data sets. Raises FetchError or a subclass; the data set that failed is removed."""
    report = _read_report(settings.report)
    plans = []
    for dataset in settings.datasets:
        with _about(dataset, settings):
            if _is_there(settings.directory / dataset.name, dataset, report):
                say(f"data set {dataset.name}: already present and verified")
            else:
                plans.append(_plan(dataset, settings, say))
    _check_room(plans, settings.directory)
    for plan in plans:
        with _about(plan.dataset, settings):
            report[plan.dataset.name] = _fetch(plan, settings, say)
        _write_report(settings.report, report)


@contextmanager
def _about(dataset: Dataset, settings: DatasetSettings) -> Iterator[None]:
    """Add the data set's name to an error, and remove its files."""
    directory = settings.directory / dataset.name
    try:
        yield
    except FetchError as error:
        folders.withdraw(directory)
        raise type(error)(f"data set {dataset.name}: {error}") from None
    except StoreError as error:
        folders.withdraw(directory)
        raise FetchError(f"data set {dataset.name}: {error}") from None
    except OSError as error:
        folders.withdraw(directory)
        raise FetchError(f"data set {dataset.name}: cannot write it: {error.strerror or error}") from None


# Planning


def _plan(dataset: Dataset, settings: DatasetSettings, say: Say) -> Plan:
    directory = settings.directory / dataset.name
    if dataset.by_web:
        return _plan_web(dataset, directory, settings, say)
    place = parse(dataset.uri)
    connection = Connection(_store(dataset, place, settings), settings.retry_seconds, say)
    found: list[ObjectInfo] = []
    with suppress(NotFound):
        found = connection.attempt(lambda store: _look(store, place))
    if not found:
        raise Missing(f"there is nothing at {dataset.uri}, or the credentials cannot read it")
    folder = found[0].key != place.key
    cut = place.folder if folder else place.key.rpartition("/")[0] + "/"
    items = [_item(info, place.bucket, cut, resumed=bool(dataset.digest)) for info in found]
    _check_targets(item.target for item in items)
    return Plan(dataset, directory, connection, items, folder)


def _item(info: ObjectInfo, bucket: str, cut: str, *, resumed: bool) -> Item:
    return Item(info.key, info.key.removeprefix(cut), info.size, shown=f"s3://{bucket}/{info.key}", resumed=resumed)


def _look(store: ObjectStore, place: Location) -> list[ObjectInfo]:
    """The single file at this location, or else the files of the folder; [] if neither exists."""
    if not place.is_folder:
        # Without permission to list, a store answers a missing key with "denied".
        with suppress(NotFound, StoreDenied):
            return [store.stat(place.key)]
    return _listed(store, place.folder)


def _store(dataset: Dataset, place: Location, settings: DatasetSettings) -> Callable[[], ObjectStore]:
    if settings.source is not None:
        store = ObjectStore(settings.source.store_config(place.bucket))
        return lambda: store

    def config(text: bytes) -> StoreConfig:
        return replace(dataset_credentials(text, dataset.name).store_config(), bucket=place.bucket)

    return CredentialsFile(settings.credentials, config)


def _listed(store: ObjectStore, prefix: str) -> list[ObjectInfo]:
    found: list[ObjectInfo] = []
    for info in store.list(prefix):
        # Consoles create an empty object to show an empty folder. It is not a file.
        if not (info.key.endswith("/") and info.size == 0):
            found.append(info)
        if len(found) > MAX_FILES:
            raise FetchError(f"it has more than {MAX_FILES} files")
    return found


def _check_targets(targets: Iterable[str]) -> None:
    """Raise FetchError for a name that escapes the folder or that a file cannot have."""
    known = set(targets)
    for target in known:
        try:
            layout.check_path(target)
        except ValueError as error:
            raise FetchError(f"it has a file {target[:200]!r}: {error}") from None
        parts = target.split("/")
        if any("/".join(parts[:length]) in known for length in range(1, len(parts))):
            raise FetchError(f"it has a file {target[:200]!r}, and another file has the name of its folder")


def _plan_web(dataset: Dataset, directory: Path, settings: DatasetSettings, say: Say) -> Plan:
    web = Web(settings.source.ca if settings.source else "")
    connection: Connection[Web] = Connection(lambda: web, settings.retry_seconds, say)
    try:
        size = connection.attempt(lambda client: client.size(dataset.uri))
    except NotFound:
        raise Missing(f"there is nothing at {shown(dataset.uri)}") from None
    item = Item(dataset.uri, _file_name(dataset), size, shown=shown(dataset.uri), split=False)
    return Plan(dataset, directory, connection, [item], folder=False)


def _file_name(dataset: Dataset) -> str:
    name = unquote(urlsplit(dataset.uri).path.rpartition("/")[2])
    try:
        layout.check_path(name)
    except ValueError:
        return dataset.name
    return dataset.name if "/" in name or len(name.encode()) > 255 else name


def _check_room(plans: list[Plan], directory: Path) -> None:
    needed, free = sum(plan.size for plan in plans), shutil.disk_usage(directory).free
    if needed > free:
        raise FetchError(f"no room for the data sets: they need {needed} bytes, and {directory} has {free} free")


# Fetching


def _fetch(plan: Plan, settings: DatasetSettings, say: Say) -> dict[str, Any]:
    """Download a data set and return its entry in the report."""
    started, dataset = time.monotonic(), plan.dataset
    say(f"data set {dataset.name}: {shown(dataset.uri)}: {len(plan.items)} files, {plan.size} bytes")
    folder = folders.begin(plan.directory, (item.target for item in plan.items))
    progress = Progress(len(plan.items), plan.size, lambda line: say(f"data set {dataset.name}: {line}"))
    downloads = [Download(item, folder, plan.connection, progress) for item in plan.items]
    download_all(downloads, plan.connection, settings.workers)
    lines = [download.line for download in downloads]
    found = folder_digest(lines) if plan.folder else PREFIX + lines[0][1]
    if found != (dataset.digest or found):
        raise Mismatch(f"{shown(dataset.uri)}: expected the digest {dataset.digest}, found {found}")
    folders.appear(plan.directory)
    what = "verified" if dataset.digest else "computed"
    say(f"data set {dataset.name}: {found} {what}, after {time.monotonic() - started:.1f} s")
    size = sum(download.size for download in downloads)
    return {"name": dataset.name, "uri": shown(dataset.uri), "digest": found, "bytes": size, "files": len(lines)}


# The report


def _is_there(directory: Path, dataset: Dataset, report: dict[str, dict[str, Any]]) -> bool:
    """Whether an earlier run of this container has fetched it. Reads every byte; does not use the store."""
    known = report.get(dataset.name)
    if known is None or (dataset.digest or known["digest"]) != known["digest"]:
        return False
    lines = folders.lines(directory)
    if not lines:
        return False
    return known["digest"] in (folder_digest(lines), PREFIX + lines[0][1] if len(lines) == 1 else "")


def _read_report(path: Path) -> dict[str, dict[str, Any]]:
    """Entries of the data sets that this container, or an earlier one of the pod, has fetched; {} if none."""
    try:
        return {each["name"]: each for each in json.loads(path.read_bytes())["datasets"] if each["digest"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _write_report(path: Path, report: dict[str, dict[str, Any]]) -> None:
    text = json.dumps({"version": 1, "datasets": sorted(report.values(), key=lambda each: str(each["name"]))}, indent=1)
    new = path.with_suffix(".tmp")
    try:
        new.unlink(missing_ok=True)
        new.write_text(text + "\n")
        new.chmod(0o644)
        os.replace(new, path)  # noqa: PTH105 (clearer than Path.replace)
    except OSError as error:
        raise FetchError(f"cannot write {path}: {error.strerror or error}") from None
