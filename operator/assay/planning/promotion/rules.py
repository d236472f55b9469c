"""The rules for an alias as one value: the policies of its namespace, and whether the namespace is open by default.

Rules that have just changed release no alias: otherwise, a policy that is relaxed and restored within seconds would let
an alias through.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from assay.planning.promotion import verdict
from assay.planning.promotion.policies import AliasView, Policy

#: How long changed rules must stay the same before they release an alias that earlier rules held.
CALM = timedelta(seconds=2)
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Rules:
    """The policies of a namespace, and whether it is open by default."""

    policies: tuple[Policy, ...]
    open_by_default: bool

    def matching(self, alias: AliasView) -> tuple[Policy, ...]:
        """Return the policies that match an alias, sorted by name."""
        found = (policy for policy in self.policies if verdict.matches(policy, alias))
        return tuple(sorted(found, key=lambda policy: policy.name))

    def asks(self, alias: AliasView) -> "Rules":
        """Return the rules with only the policies that match an alias."""
        return Rules(self.matching(alias), self.open_by_default)


@dataclass
class Calm:
    """Tracks, in memory, since when the rules of each alias are unchanged."""

    _known: dict[tuple[str, str], tuple[Rules, datetime]] = field(default_factory=dict)

    def remaining(self, alias: tuple[str, str], rules: Rules, now: datetime) -> timedelta:
        """Update the current rules of an alias, given by namespace and name; return how long they must stay unchanged.

        The first rules seen for an alias take effect at once. An alias that is created again is not seen first.
        """
        known, since = self._known.get(alias, (rules, now - CALM))
        if known != rules:
            since = now
        self._known[alias] = rules, since
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return max(timedelta(), since + CALM - now)
