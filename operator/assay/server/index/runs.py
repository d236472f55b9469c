"""Runs from the index: the rights first, then how fresh the answer has to be, then the search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from assay.api.errors import Unreachable
from assay.api.resources import RUNS, Resource
from assay.queries.runs import reading
from assay.queries.runs.rows import RunRow
from assay.server.freshness import Freshness
from assay.server.index import everywhere
from assay.server.index.archived import Archives
from assay.server.index.column import Rows
from assay.server.index.encoded import Encoded
from assay.server.index.everywhere import FoundEverywhere, Searched
from assay.server.index.feed import Feed
from assay.server.index.lean import lean
from assay.server.index.searching import Found, FoundNames, View, ordered, search
from assay.server.person import Person
from assay.server.rights import Rights
from assay.server.runs import (
    GROUPED_METRICS,
    RunQuery,
    RunsEverywhere,
    RunsFound,
    RunsOfApiServer,
    Shown,
    check_experiment,
    chosen,
    without_runs,
)

#: How long an answer waits for the index to include what it has to.
PATIENCE_SECONDS: Final = 10.0
#: How often the archive is read while runs are removed from the cluster.
_ATTEMPTS: Final = 3


class RunsOfIndex:
    """Answers from the feed of a namespace.

    Without one, or if it does not become complete in time or is not kept current, reads the API server instead.
    """

    def __init__(self, feed_of: Callable[[str], Feed | None], rights: Rights) -> None:
        self._feed_of, self._rights = feed_of, rights
        self._directly = RunsOfApiServer()
        self._archives, self._encoded = Archives(), Encoded()

    def find(self, person: Person, query: RunQuery, shown: Shown | None = None) -> RunsFound:
        """Return a page of the runs of the person's namespace. Raises AssayError, StoreError."""
        self._rights.require_list(person, RUNS)
        feed = self._feed_of(person.namespace)
        if feed is None:
            return self._directly.find(person, query, shown)
        # A request that comes while the index is built waits: reading all runs beside it would slow it down.
        if not feed.wait(0, PATIENCE_SECONDS) or feed.trouble:
            return self._directly.find(person, query, shown)
        if not self._catch_up(feed, person, query["fresh"], [person.namespace]):
            return self._directly.find(person, query, shown)
        if query["archived"]:
            return self._find_archived(feed, person, query) or self._directly.find(person, query)
        with feed.reading(person.namespace) as table:
            freshness: Freshness = {"source": "index", "asOf": str(feed.version), "age": round(feed.age, 3)}
            view = View(table)
            found = search(view, query["experiment"], query["where"], query.get("experiments", ()))
            answer = self._page(view, found, query, shown)
        if not found.seen:
            check_experiment(person, query["experiment"])
        return {**answer, "freshness": freshness, "notes": person.notes}

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Wait a moment until the index includes a resource version of a run."""
        feed = self._feed_of(namespace) if resource == RUNS else None
        if feed is not None:
            feed.reach(version)

    def find_all(self, person: Person, query: RunQuery) -> RunsEverywhere:
        """Return a page of the runs of all namespaces in which the person may list runs. Raises AssayError."""
        feed = self._feed_of("")
        if feed is None:
            return self._directly.find_all(person, query)
        feed.wait(0, PATIENCE_SECONDS)
        namespaces = self._rights.listable(person, RUNS, feed.namespaces)
        if feed.trouble:
            if namespaces is None:
                return self._directly.find_all(person, query)
            raise Unreachable(feed.trouble, hint="ask again later, or for one namespace")
        if not self._catch_up(feed, person, query["fresh"], namespaces):
            return self._directly.find_all(person, query)
        with feed.reading_all(namespaces) as tables:
            freshness: Freshness = {"source": "index", "asOf": str(feed.version), "age": round(feed.age, 3)}
            found = everywhere.search([Searched(table, name) for name, table in tables.items()], query)
        if namespaces is not None:
            person.note(f"only namespaces in which you may list runs: {', '.join(namespaces)}")
        elif not found.seen:
            person.note(without_runs(query["experiment"]))
        return cast(RunsEverywhere, _answer(person, found, query, freshness))

    def _find_archived(self, feed: Feed, person: Person, query: RunQuery) -> RunsFound | None:
        """Return a page of the runs of the cluster and the archive; None if only the store can give it.

        Raises StoreError, and Unreachable while another request reads the archive for the first time.
        """
        reading.check_name(person, query["experiment"])
        store, namespace = person.store, person.namespace
        archive = self._archives.of(store, namespace)
        if not archive.lock.acquire(timeout=PATIENCE_SECONDS):
            raise Unreachable(
                f"the archive of namespace {namespace} is being read for the first time",
                hint="ask again in a minute; 20,000 archived runs take about two",
            )
        try:
            for left in reversed(range(_ATTEMPTS)):
                with feed.reading(namespace) as table:
                    live = archive.live(table, (feed, feed.lists))
                if not archive.update(store, query["experiment"], live):
                    return None
                with feed.reading(namespace) as table:
                    now = archive.live(table, (feed, feed.lists))
                    # A run that was removed meanwhile is in neither.
                    if now.moment != live.moment and left:
                        continue
                    freshness: Freshness = {"source": "index", "asOf": str(feed.version), "age": round(feed.age, 3)}
                    both = [Searched(table), Searched(archive.table, among=archive.among(now))]
                    found = everywhere.search(both, query)
                    break
        finally:
            archive.lock.release()
        if not found.seen:
            check_experiment(person, query["experiment"])
        return _answer(person, found, query, freshness)

    def _page(self, view: View, found: Found, query: RunQuery, shown: Shown | None) -> RunsFound:
        names = FoundNames(view, found.rows)
        order = ordered(view, found.rows, query["sort"] or "created", names, reverse=query["reverse"])
        items: list[Any]
        if order is None:
            rows = chosen(view.rows(found.rows.tolist()), names, query)
            items = list(rows if shown is None else map(shown, rows))
        else:
            page = order[query["offset"] : query["offset"] + query["limit"]]
            numbers, parts = page.tolist(), query.get("parts", ())
            if shown is not None:
                items = self._encoded.rows(view, numbers, parts, shown)
            else:
                items = self._grouped(view, page, names, query.get("group", "")) or list(view.rows(numbers, parts))
        return {
            "items": cast(list[RunRow], items),
            "total": len(found.rows),
            "names": names.summary() if query["names"] else None,
            "undecided": found.undecided,
            "why": found.why,
            "freshness": {"source": "index", "asOf": "", "age": 0.0},
            "notes": [],
        }

    def _grouped(self, view: View, page: Rows, names: FoundNames, by: str) -> list[RunRow] | None:
        """Return rows with what a grouping needs; None if whole rows are necessary."""
        if not by:
            return None
        metrics = names.ordered_metrics()[:GROUPED_METRICS]
        values = [("metrics", metric, part) for metric in metrics for part in ("best", "last")]
        return lean(view, page, [("name",), ("phase",), names.field(by).path, *values])

    def _catch_up(self, feed: Feed, person: Person, fresh: str, namespaces: Sequence[str] | None) -> bool:
        """Wait until the index is as fresh as requested, for some namespaces or all. Returns whether it can be.

        Raises Unreachable if that takes too long.
        """
        if fresh == "live":
            return True
        if fresh == "now":
            known = self._now(feed, person, namespaces)
            if known is None:
                return False
            fine, what = known, "the runs as they are now"
        else:
            fine = feed.wait(int(fresh), PATIENCE_SECONDS)
            what = f"resource version {fresh}"
        if not fine:
            raise Unreachable(
                f"the index does not include {what} after {PATIENCE_SECONDS:g} s",
                hint="a resource version must be that of a run; fresh=live answers at once",
            )
        return True

    def _now(self, feed: Feed, person: Person, namespaces: Sequence[str] | None) -> bool | None:
        """Wait until the tables include what the user lists now; None if the API server does not say what that is."""
        if namespaces is None:
            numbers, at = reading.versions_everywhere(person.kube)
            return feed.wait_for_list(numbers, int(at), PATIENCE_SECONDS) if at else None
        for namespace in namespaces:
            versions, at = reading.versions(person.kube, namespace)
            if not at:
                return None
            by_name = {name: int(version) for name, version in versions.items()}
            if not feed.wait_for_all(namespace, by_name, int(at), PATIENCE_SECONDS):
                return False
        return True


def _answer(person: Person, found: FoundEverywhere, query: RunQuery, freshness: Freshness) -> RunsFound:
    return {
        "items": found.items,
        "total": found.total,
        "names": found.names.summary() if query["names"] else None,
        "undecided": found.undecided,
        "why": found.why,
        "freshness": freshness,
        "notes": person.notes,
    }
