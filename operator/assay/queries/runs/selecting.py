"""Selects several runs at once: by names, by patterns such as digits-*, of an experiment, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from assay.api import names
from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.planning.runs.facts import run_facts
from assay.queries import references
from assay.queries.access import Access
from assay.queries.runs import recorded

_WILDCARDS = frozenset("*?[")


def selected(access: Access, patterns: Sequence[str], experiment: str = "", top: int | None = None) -> list[Raw]:
    """Return raw Runs in the order of the patterns. Raises AssayError if something selects none.

    Patterns with wildcards match runs in the cluster; a plain name may be that of an archived run. ``top`` selects the
    best runs by their objective, best first.
    """
    if not patterns and not experiment:
        raise InvalidRequest("no runs are selected", hint="name runs, patterns such as 'digits-*', or --experiment")
    found: list[Raw] = []
    uids: set[str] = set()
    for run, named in _found(access, patterns, experiment):
        if named or run["metadata"]["uid"] not in uids:
            found.append(run)
        uids.add(run["metadata"]["uid"])
    return best(found, top) if top else found


def _found(access: Access, patterns: Sequence[str], experiment: str) -> Iterator[tuple[Raw, bool]]:
    """Yield runs, and whether each was named in full."""
    if experiment:
        labels = f"{names.LABEL_EXPERIMENT}={experiment}"
        runs = list(access.kube.list(RUNS, access.namespace, labels=labels))
        if not runs:
            references.experiment(access, experiment)
            raise ObjectNotFound(f"experiment {experiment} has no runs in the cluster")
        patterned = [run for run in runs if not patterns or any(_matches(run, each) for each in patterns)]
        if not patterned:
            raise ObjectNotFound(f"experiment {experiment} has no run that matches {' or '.join(patterns)}")
        yield from ((run, False) for run in patterned)
        return
    runs = list(access.kube.list(RUNS, access.namespace)) if any(_WILDCARDS & set(each) for each in patterns) else []
    for pattern in patterns:
        if not _WILDCARDS & set(pattern):
            yield recorded.find(access, pattern), True
            continue
        some = [run for run in runs if _matches(run, pattern)]
        if not some:
            raise ObjectNotFound(f"namespace {access.namespace} has no run that matches {pattern}")
        yield from ((run, False) for run in some)


def _matches(run: Raw, pattern: str) -> bool:
    return fnmatchcase(run["metadata"]["name"], pattern)


def best(runs: Sequence[Raw], top: int) -> list[Raw]:
    """Return the best runs by their objective, best first. Raises InvalidRequest if no run has a value of it."""
    ranked = []
    for run in runs:
        objective, value = (run.get("spec") or {}).get("objective") or {}, run_facts(run).value
        if objective and value is not None:
            ranked.append((-value if objective["direction"] == "maximize" else value, run["metadata"]["name"], run))
    if not ranked:
        raise InvalidRequest("no run has a value of its objective", hint="omit --top")
    return [run for _, _, run in sorted(ranked, key=lambda each: each[:2])][:top]
