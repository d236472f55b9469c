"""Reads the runs of a namespace: from the API server, from what was kept of them, from the archive.

What was kept is never shown for its own sake: the API server is asked, as this user, for a table of the names and
resource versions of all runs, which is a tenth of the work of all Runs. What is unchanged by it is taken from the
cache, the rest is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from assay.api import names, resources
from assay.api.resources import RUNS
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.kube import Kube
from assay.cli.run_cache import Kept, RunCache
from assay.cli.run_rows import RunRow, of_record, of_run, timed
from assay.cli.session import Session

Raw = dict[str, Any]

#: 1,000 or 2,000 are read no faster, and the first ones are there later.
_PAGE = 500
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
#: All at once, at 125 bytes a run: where nothing has changed for minutes, the API server takes a second page, unlike
#: the first, out of etcd, and that is 20 times the work.
_TABLE_PAGE = 50_000
#: Fewer runs than this are read as quickly as compared.
_WORTH_KEEPING = 1000
#: As many that changed are read one by one, or one in twenty; of more, all are read.
_FEW_CHANGES = 100
_READERS = 8


def read(
    session: Session, experiment: str = "", *, archived: bool = False, cached: bool = True
) -> Iterator[list[RunRow]]:
    """Yield the runs of a namespace, or of one experiment, some at a time; those of the archive after the others.

    Those in the cluster come in the order of their names. Raises CliError, StoreError.
    """
    known: set[str] = set()
    cache = RunCache(session.kube.server, session.namespace) if cached and not experiment else None
    for rows in _of_cluster(session.kube, session.namespace, experiment, cache):
        known.update(row["uid"] for row in rows)
        yield timed(rows)
    if archived:
        from assay.store import archive

        found = archive.runs(session.store, session.namespace, experiment or None)
        yield timed(of_record(each) for each in found if each.uid not in known)


def _of_cluster(kube: Kube, namespace: str, experiment: str, cache: RunCache | None) -> Iterator[list[RunRow]]:
    before = cache.load() if cache else {}
    now = _renewed(kube, namespace, before) if len(before) >= _WORTH_KEEPING else None
    if now is not None:
        yield [row for _, row in now.values()]
    else:
        now = {}
        for page in _pages(kube, namespace, experiment):
            some = {run["metadata"]["name"]: (run["metadata"]["resourceVersion"], of_run(run)) for run in page}
            now |= some
            yield [row for _, row in some.values()]
    if cache and len(now) >= _WORTH_KEEPING and now != before:
        cache.save(now)


# All of them


def _pages(kube: Kube, namespace: str, experiment: str) -> Iterator[list[Raw]]:
    """Yield the Runs page by page, all as they were when the first one was asked for.

    The next page is on its way while one is worked on.
    """
    labels = f"{names.LABEL_EXPERIMENT}={experiment}" if experiment else ""
    path = _path(namespace)

    def page(token: str) -> bytes:
        query = {"limit": str(_PAGE), "labelSelector": labels, "continue": token}
        with kube.stream("GET", path, query=query) as answer:
            return bytes(answer.read())

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(page, "")
        while True:
            text = coming.result()
            token = _token(text)
            if token:
                coming = ahead.submit(page, token)
            yield json.loads(text).get("items") or []
            if not token:
                return


def _token(page: bytes) -> str:
    """Return the token of the next page, which stands at the end of this one, without reading all of it."""
    start = page.rfind(b'"metadata":{')
    try:
        metadata = json.loads(b"{" + page[start:])["metadata"]
    except (ValueError, LookupError):
        metadata = json.loads(page).get("metadata") or {}
    return str(metadata.get("continue") or "")


# What has changed


def _renewed(kube: Kube, namespace: str, before: Kept) -> Kept | None:
    """Return the runs as they are now, most of them as they were kept; None when all have to be read."""
    versions = _versions(kube, namespace)
    if versions is None:
        return None
    same = {name for name, version in versions.items() if name in before and before[name][0] == version}
    changed = [name for name in versions if name not in same]
    few = len(changed) <= max(_FEW_CHANGES, len(versions) // 20)
    if not same or not few or not _same_cluster(kube, namespace, before, same):
        return None
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(lambda name: _one(kube, namespace, name), changed)
    read = {run["metadata"]["name"]: (run["metadata"]["resourceVersion"], of_run(run)) for run in found if run}
    return {name: before[name] if name in same else read[name] for name in versions if name in same or name in read}


def _same_cluster(kube: Kube, namespace: str, before: Kept, same: set[str]) -> bool:
    """Whether what was kept is of this cluster, not of one that had its address before: UIDs are never the same."""
    name = min(same)
    found = _one(kube, namespace, name)
    return found is not None and found["metadata"]["uid"] == before[name][1]["uid"]


def _versions(kube: Kube, namespace: str) -> dict[str, str] | None:
    """Return the resource version of every run by its name; None when the API server's table does not have them."""
    found: dict[str, str] = {}
    token = ""
    while True:
        query = {"limit": str(_TABLE_PAGE), "includeObject": "None", "continue": token}
        with kube.stream("GET", _path(namespace), query=query, accept=_TABLE) as answer:
            table = json.loads(answer.read())
        titles = [column["name"] for column in table.get("columnDefinitions") or []]
        if not {"Name", "Resource-Version"} <= set(titles):
            return None
        name, version = titles.index("Name"), titles.index("Resource-Version")
        found.update((row["cells"][name], row["cells"][version]) for row in table.get("rows") or [])
        token = (table.get("metadata") or {}).get("continue") or ""
        if not token:
            return found


def _one(kube: Kube, namespace: str, name: str) -> Raw | None:
    """Return a Run, None when there is none; asked for in a way that takes the right to list, and no other."""
    return next(iter(kube.list(RUNS, namespace, fields=f"metadata.name={name}")), None)


def _path(namespace: str) -> str:
    try:
        return resources.path(RUNS, namespace)
    except ValueError as error:
        raise CliError(str(error), code=NOT_FOUND) from None
