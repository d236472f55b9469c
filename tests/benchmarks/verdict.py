"""What a verdict costs in a namespace with 1,000 versions and 100 policies.

Of the policies ten match the alias: each with approvals that expire, two gates over a version of twenty metrics, a soak
and a weekly freeze. The versions differ, so nothing of one verdict helps the next but what is compiled.
"""

import gc
import statistics
import time
from datetime import UTC, datetime, timedelta

from assay.planning.promotion import verdict
from assay.planning.promotion.policies import (
    AliasView,
    Approval,
    Approvals,
    Gate,
    Held,
    Policy,
    Soak,
    VersionView,
    Weekly,
)

VERSIONS, POLICIES, MATCHING, METRICS, ROUNDS = 1000, 100, 10, 20, 5
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
ALIAS = AliasView("digits", "champion")


async def measure() -> dict[str, float]:
    """Return ``verdict_us``, the median over the rounds of the mean time of one verdict, in microseconds."""
    policies, versions = [_policy(number) for number in range(POLICIES)], [_version(n) for n in range(VERSIONS)]
    current = versions[0]
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.perf_counter()
        allowed = sum(verdict.evaluate(ALIAS, each, current, policies, NOW).allowed for each in versions)
        times.append((time.perf_counter() - start) / VERSIONS * 1e6)
        if not 0 < allowed < VERSIONS:
            raise RuntimeError(f"{allowed} of {VERSIONS} versions are allowed: that measures nothing")
    return {"verdict_us": statistics.median(times)}


def _policy(number: int) -> Policy:
    first = f"candidate.metrics.m{number % METRICS}.last >= 0.5"
    second = f"current == null || candidate.metrics.m0.last >= current.metrics.m0.last - 0.{number + 5:03}"
    return Policy(
        f"policy-{number}",
        models=("dig*",) if number < MATCHING else (f"other-{number}*",),
        aliases=("champion", "prod-*"),
        approvals=Approvals(2, True, timedelta(days=30)),
        gates=(Gate("high", first), Gate("not-worse", second)),
        soak=Soak("staging", timedelta(hours=24)),
        freeze=(Weekly("weekend", frozenset({5, 6}), datetime.min.time(), None, "Europe/Berlin"),),
    )


def _version(number: int) -> VersionView:
    digest = f"sha256:{number:064x}"
    approvals = [Approval(f"a{n}", "champion", digest, f"person-{n}", at=NOW - timedelta(days=n)) for n in range(4)]
    summary = {"last": 0.5 + number / 4 / VERSIONS, "min": 0.0, "max": 1.0, "best": 1.0, "step": 100}
    return VersionView(
        f"digits.v{number}",
        "digits",
        number,
        digest,
        "ana",
        {f"m{index}": summary for index in range(METRICS)},
        {f"p{index}": index / 2 for index in range(10)},
        tuple(approvals),
        evidence=frozenset({"provenanceVerified", *(["artifactVerified"] if number % 2 == 0 else [])}),
        held=(Held("staging", NOW - timedelta(hours=30)),),
    )
