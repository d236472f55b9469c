"""Gauges of existing objects, computed from the operator's caches at scrape time, so they are never stale.

Only the leading operator exports them; otherwise waiting operators would report duplicates. They need no requests to
the API server or the store. Labels contain namespaces, models, aliases and live versions, never runs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.planning.conditions import parse_time

_Labels = tuple[str, ...]

RUN_PHASES: Final = ("Pending", "Running", "Suspended", *TERMINAL)


class Shown(NamedTuple):
    """A gauge: its help text and label names."""

    text: str
    labels: _Labels = ()


#: Every gauge of this module by name.
SHOWN: Final[Mapping[str, Shown]] = {
    "assay_leading": Shown("1 for the leading operator; operators waiting for the Lease do not export it."),
    "assay_runs": Shown("Runs that exist, by phase.", ("phase",)),
    "assay_experiments": Shown("Experiments that exist, by phase.", ("phase",)),
    "assay_runs_waiting": Shown("Runs that are Pending, by reason.", ("reason",)),
    "assay_runs_waiting_oldest_seconds": Shown(
        "How long the longest-waiting Pending run has been waiting, by reason.", ("reason",)
    ),
    "assay_runs_without_store": Shown("Unfinished runs whose recorder or record cannot reach the store."),
    "assay_recorder_lag_seconds": Shown(
        "Age of the last recorder report of a run in training; the maximum over all runs."
    ),
    "assay_credentials_expired": Shown(
        "Runs and versions whose store credentials expired without renewal, by kind.", ("kind",)
    ),
    "assay_model_versions": Shown("ModelVersions that exist, by phase.", ("phase",)),
    "assay_model_versions_unsigned": Shown(
        "Registered ModelVersions without a valid signature, by reason.", ("reason",)
    ),
    "assay_promotion_policies_unreadable": Shown(
        "Invalid PromotionPolicies, which block all matching aliases.", ("namespace",)
    ),
    "assay_alias_info": Shown(
        "Always 1; the labels show the live version of an alias.", ("namespace", "model", "alias", "version")
    ),
    "assay_alias_phase": Shown(
        "1 for the current phase of an alias: Pending, Held (blocked), Bound or Degraded.",
        ("namespace", "model", "alias", "phase"),
    ),
    "assay_approvals_pending": Shown("Aliases that are blocked by missing approvals.", ("namespace",)),
    "assay_approvals_pending_oldest_seconds": Shown(
        "How long the longest-waiting alias has been blocked by missing approvals.", ("namespace",)
    ),
}


class Gauges(Collector):
    """A Prometheus collector, registered between ``begin`` and ``end``. For the event loop's thread only."""

    def __init__(self, tracking: TrackingCache, registry: ModelCache, shown_by: CollectorRegistry = REGISTRY) -> None:
        self._tracking, self._models = tracking, registry
        self._shown_by = shown_by
        self._begun = False

    def begin(self) -> None:
        """Register the gauges. Call it after the caches are filled; before that, the values would be wrong."""
        self._shown_by.register(self)
        self._begun = True

    def end(self) -> None:
        """Unregister the gauges."""
        if self._begun:
            self._shown_by.unregister(self)
        self._begun = False

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return empty families; the registry checks that their names are unique."""
        return [_family(name) for name in SHOWN]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return all current values."""
        values = self.values(datetime.now(UTC))
        families = {name: _family(name) for name in SHOWN}
        for (name, labels), value in values.items():
            families[name].add_metric(labels, value)
        return families.values()

    def values(self, now: datetime) -> dict[tuple[str, _Labels], float]:
        """Return all values by gauge name and label values."""
        found: dict[tuple[str, _Labels], float] = {("assay_leading", ()): 1.0}
        for name, labels, value in (*self._runs(now), *self._versions(now), *self._aliases(now)):
            found[name, labels] = value
        return found

    def _runs(self, now: datetime) -> Iterator[tuple[str, _Labels, float]]:
        phases = Counter(self._tracking.phases())
        for phase in RUN_PHASES:
            yield "assay_runs", (phase,), phases[phase]
        yield from _counted("assay_experiments", (_phase(each) for each in self._tracking.experiments.values()))
        active = list(self._tracking.active_runs.values())
        yield "assay_runs_without_store", (), sum(map(_lacks_store, active))
        yield "assay_recorder_lag_seconds", (), max((self._lag(each, now) for each in active), default=0.0)
        yield "assay_credentials_expired", (names.RUN,), sum(_expired(each, now) for each in active)
        waiting = [each for each in active if _phase(each) == "Pending"]
        ages = _oldest((_reason(each), _since(each, names.STARTED), now) for each in waiting)
        yield from _counted("assay_runs_waiting", map(_reason, waiting))
        for reason, age in ages.items():
            yield "assay_runs_waiting_oldest_seconds", (reason,), age

    def _lag(self, run: Raw, now: datetime) -> float:
        """Return the age of a run's last recorder report in seconds; 0 when it is not training."""
        pods = self._tracking.pods(run)
        if not pods or not pods[-1].running:
            return 0.0
        last_report = self._tracking.last_report(run, pods[-1].name)
        return max(0.0, (now - last_report).total_seconds()) if last_report else 0.0

    def _versions(self, now: datetime) -> Iterator[tuple[str, _Labels, float]]:
        versions = list(self._models.versions.values())
        yield "assay_credentials_expired", (names.MODEL_VERSION,), sum(_expired(each, now) for each in versions)
        yield from _counted("assay_model_versions", map(_phase, versions))
        signatures = [_condition(each, names.SIGNED) for each in versions]
        yield from _counted(
            "assay_model_versions_unsigned",
            (each["reason"] for each in signatures if each and each["status"] != "True"),
        )

    def _aliases(self, now: datetime) -> Iterator[tuple[str, _Labels, float]]:
        policies = self._models.known(names.PROMOTION_POLICY).values()
        unreadable = (_namespace(each) for each in policies if _is(each, names.READY, "False"))
        yield from _counted("assay_promotion_policies_unreadable", unreadable)
        aliases = list(self._models.aliases.values())
        for each in aliases:
            spec, live = each["spec"], (each.get("status") or {}).get("boundVersion")
            labels = _namespace(each), spec["model"], spec["alias"]
            yield "assay_alias_phase", (*labels, _phase(each)), 1
            if live is not None:
                yield "assay_alias_info", (*labels, str(live)), 1
        waiting = [each for each in aliases if _lacks_approvals(each)]
        yield from _counted("assay_approvals_pending", map(_namespace, waiting))
        ages = _oldest((_namespace(each), _since(each, names.HELD), now) for each in waiting)
        for namespace, age in ages.items():
            yield "assay_approvals_pending_oldest_seconds", (namespace,), age


def _family(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, SHOWN[name].text, labels=SHOWN[name].labels)


def _counted(name: str, what: Iterable[str]) -> Iterator[tuple[str, _Labels, float]]:
    for label, number in Counter(what).items():
        yield name, (label,), number


def _oldest(what: Iterable[tuple[str, datetime | None, datetime]]) -> dict[str, float]:
    """Return the seconds since the earliest time, by label."""
    ages: dict[str, float] = {}
    for label, since, now in what:
        age = 0.0 if since is None else (now - since).total_seconds()
        ages[label] = max(ages.get(label, 0.0), age)
    return ages


# One object


def _namespace(body: Raw) -> str:
    return str(body["metadata"]["namespace"])


def _phase(body: Raw) -> str:
    return str((body.get("status") or {}).get("phase") or "Pending")


def _reason(body: Raw) -> str:
    return str((body.get("status") or {}).get("reason") or names.WAITING_FOR_JOB)


def _condition(body: Raw, kind: str) -> Raw | None:
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), None)


def _is(body: Raw, kind: str, status: str) -> bool:
    found = _condition(body, kind)
    return found is not None and found["status"] == status


def _since(body: Raw, kind: str) -> datetime | None:
    """Return the last transition time of a condition; without the condition, the creation time of the object."""
    found = _condition(body, kind) or {}
    return parse_time(found.get("lastTransitionTime") or body["metadata"].get("creationTimestamp"))


def _lacks_store(run: Raw) -> bool:
    status = run.get("status") or {}
    recorded = _condition(run, names.RECORDED) or {}
    reported = (status.get("recorder") or {}).get("storeError")
    return _phase(run) not in TERMINAL and bool(reported or recorded.get("reason") == names.STORE_UNREACHABLE)


def _expired(body: Raw, now: datetime) -> bool:
    expires = parse_time(((body.get("status") or {}).get("credentials") or {}).get("expires"))
    return expires is not None and _phase(body) not in TERMINAL and expires <= now


def _lacks_approvals(alias: Raw) -> bool:
    """Whether an alias is blocked and lacks approvals."""
    requirements = (alias.get("status") or {}).get("requirements") or []
    missing = any(each["requirement"] == "approvals" and not each["met"] for each in requirements)
    return missing and _is(alias, names.HELD, "True")
