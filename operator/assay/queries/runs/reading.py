"""Reads the runs of a namespace: from the API server, from a local cache, and from the archive.

The cache is never used alone: every read requests, as this user, a table with the names and resource versions of all
runs, which costs a tenth of listing the Runs. Unchanged rows are taken from the cache, the others are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from assay.api import names, resources
from assay.api.errors import ObjectNotFound, PermissionDenied
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.kube.errors import ApiError
from assay.kube.sync import Kube
from assay.queries.access import Access
from assay.queries.runs.cache import CachedRuns, RunCache
from assay.queries.runs.rows import NamespacedRow, RunRow, in_namespace, of_record, of_run, timed

#: The size of the first page, and the maximum number of runs in one response: 20,000 runs are 60 MB.
_PAGE, _AT_ONCE = 500, 50_000
_DECODER, _SPACE = json.JSONDecoder(), re.compile(r"[\s,]*")
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
#: One page, at 125 bytes a run: after minutes without changes, the API server reads any page but the first from etcd,
#: which is 20 times slower.
_TABLE_PAGE = 50_000
#: Reading fewer runs than this is as fast as comparing versions.
_WORTH_CACHING = 1000
#: Up to this many changed runs, or 5 % of all, are read one by one; beyond that, all runs are read.
_FEW_CHANGES = 100
_READERS = 8
_FORBIDDEN = 403


def read(
    access: Access, experiment: str = "", *, archived: bool = False, cached: bool = True
) -> Iterator[list[RunRow]]:
    """Yield the runs of a namespace, or of one experiment, in batches; archived runs last.

    Runs in the cluster are sorted by name. Raises AssayError, StoreError.
    """
    if archived:
        check_name(access, experiment)
    known: set[str] = set()
    cache = RunCache(access.kube.server, access.namespace) if cached and not experiment else None
    for rows in _of_cluster(access.kube, access.namespace, experiment, cache):
        known.update(row["uid"] for row in rows)
        yield timed(rows)
    if archived:
        from assay.store import archive

        found = archive.runs(access.store, access.namespace, experiment or None, known)
        yield timed(map(of_record, found))


def check_name(access: Access, experiment: str) -> None:
    """Raise ObjectNotFound for what no experiment can be called: the keys of archived runs contain its name."""
    from assay.store import layout

    try:
        layout.run_prefix(access.namespace, experiment or None, "r", "u")
    except ValueError:
        raise ObjectNotFound(f"namespace {access.namespace} has no experiment {experiment!r}") from None


def read_everywhere(access: Access, experiment: str = "") -> Iterator[list[NamespacedRow]]:
    """Yield the runs of all namespaces in batches, in the order of the API server: by namespace and name.

    Raises PermissionDenied unless the user may list runs in the whole cluster.
    """
    try:
        for page in _pages(access.kube, "", experiment):
            rows = timed(of_run(run) for run in page)
            yield [in_namespace(row, run["metadata"]["namespace"]) for row, run in zip(rows, page, strict=True)]
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        raise PermissionDenied(
            error.message,
            hint="a ClusterRoleBinding must let you list runs.assay.dev; without it, --server shows the namespaces in "
            "which you may list runs, and --namespace shows one",
        ) from None


def _of_cluster(kube: Kube, namespace: str, experiment: str, cache: RunCache | None) -> Iterator[list[RunRow]]:
    before, now = _cached(kube, namespace, cache) if cache and cache.exists() else ({}, None)
    if now is not None:
        yield [row for _, row in now.values()]
    else:
        now = {}
        for page in _pages(kube, namespace, experiment):
            some = {run["metadata"]["name"]: (run["metadata"]["resourceVersion"], of_run(run)) for run in page}
            now |= some
            yield [row for _, row in some.values()]
    if cache and len(now) >= _WORTH_CACHING and now != before:
        cache.save(now)


# Reading all runs


def _pages(kube: Kube, namespace: str, experiment: str) -> Iterator[list[Raw]]:
    """Yield all Runs, the first ones as soon as they arrive.

    The others come in one response, unless there are too many: after minutes without changes, the API server serves the
    first page from memory, but reads all others from etcd, which is several times slower.
    """
    first, token, left = _page(kube, namespace, experiment, _PAGE)
    yield first
    if token and left <= _AT_ONCE:
        there = {run["metadata"]["uid"] for run in first}
        rest = (run for run in _items(_text(kube, namespace, experiment)) if run["metadata"]["uid"] not in there)
        while some := list(islice(rest, _PAGE)):
            yield some
        return
    while token:
        some, token, _ = _page(kube, namespace, experiment, _PAGE, token)
        yield some


def _page(kube: Kube, namespace: str, experiment: str, limit: int, token: str = "") -> tuple[list[Raw], str, int]:
    """Return one page of Runs, the token of the next page, and the number of remaining Runs if known."""
    found = json.loads(_text(kube, namespace, experiment, str(limit), token))
    metadata = found.get("metadata") or {}
    left = metadata.get("remainingItemCount")
    return found.get("items") or [], metadata.get("continue") or "", _AT_ONCE if left is None else left


def _text(kube: Kube, namespace: str, experiment: str, limit: str = "", token: str = "") -> str:
    labels = f"{names.LABEL_EXPERIMENT}={experiment}" if experiment else ""
    query = {"limit": limit, "labelSelector": labels, "continue": token}
    with kube.stream("GET", _path(namespace), query=query) as answer:
        return bytes(answer.read()).decode()


def _items(text: str) -> Iterator[Raw]:
    """Yield the items of a list one by one: all of them as objects would take five times the memory of the text."""
    at = text.find('"items":[', 0, 200) + 9
    if at < 9:
        yield from json.loads(text).get("items") or []
        return
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # always matches
        if text[at : at + 1] == "]":
            return
        item, at = _DECODER.raw_decode(text, at)
        yield item


# Reading changed runs


def _cached(kube: Kube, namespace: str, cache: RunCache) -> tuple[CachedRuns, CachedRuns | None]:
    """Return the runs as they were cached, and as they are now; None if all have to be read.

    Reads the file and the versions at the same time: both take equally long.
    """
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(versions, kube, namespace)
        before = cache.load()
        known, at = future.result()
    return before, _renewed(kube, namespace, before, known) if before and at else None


def _renewed(kube: Kube, namespace: str, before: CachedRuns, versions: dict[str, str]) -> CachedRuns | None:
    """Return the current runs, unchanged ones from the cache; None if all have to be read."""
    same = {name for name, version in versions.items() if name in before and before[name][0] == version}
    changed = [name for name in versions if name not in same]
    few = len(changed) <= max(_FEW_CHANGES, len(versions) // 20)
    if not same or not few or not _same_cluster(kube, namespace, before, same):
        return None
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(lambda name: _one(kube, namespace, name), changed)
    read = {run["metadata"]["name"]: (run["metadata"]["resourceVersion"], of_run(run)) for run in found if run}
    return {name: before[name] if name in same else read[name] for name in versions if name in same or name in read}


def _same_cluster(kube: Kube, namespace: str, before: CachedRuns, same: set[str]) -> bool:
    """Whether the cache is of this cluster, not of an earlier one at the same address: UIDs are unique."""
    name = min(same)
    found = _one(kube, namespace, name)
    return found is not None and found["metadata"]["uid"] == before[name][1]["uid"]


def versions(kube: Kube, namespace: str) -> tuple[dict[str, str], str]:
    """Return the resource version of every run by name, and that of the whole list.

    Both are empty if the API server's table does not have them.
    """
    rows, at = _table(kube, namespace)
    return dict(rows), at


def versions_everywhere(kube: Kube) -> tuple[frozenset[int], str]:
    """Return the resource versions of the runs of all namespaces, and that of the whole list.

    Both are empty if the API server's table does not have them.
    """
    rows, at = _table(kube, "")
    return frozenset(int(version) for _, version in rows), at


def _table(kube: Kube, namespace: str) -> tuple[list[tuple[str, str]], str]:
    """Return name and resource version of each run, and that of the whole list."""
    found: list[tuple[str, str]] = []
    token = ""
    while True:
        query = {"limit": str(_TABLE_PAGE), "includeObject": "None", "continue": token}
        with kube.stream("GET", _path(namespace), query=query, accept=_TABLE) as answer:
            table = json.loads(answer.read())
        titles = [column["name"] for column in table.get("columnDefinitions") or []]
        if not {"Name", "Resource-Version"} <= set(titles):
            return [], ""
        name, version = titles.index("Name"), titles.index("Resource-Version")
        found += ((row["cells"][name], row["cells"][version]) for row in table.get("rows") or [])
        metadata = table.get("metadata") or {}
        token = metadata.get("continue") or ""
        if not token:
            return found, str(metadata.get("resourceVersion") or "")


def _one(kube: Kube, namespace: str, name: str) -> Raw | None:
    """Return a Run, None if it does not exist. Uses list, so that users need no other verb."""
    return next(iter(kube.list(RUNS, namespace, fields=f"metadata.name={name}")), None)


def _path(namespace: str) -> str:
    try:
        return resources.path(RUNS, namespace)
    except ValueError as error:
        raise ObjectNotFound(str(error)) from None
