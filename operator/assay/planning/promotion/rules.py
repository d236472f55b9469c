"""What an alias is judged by, as one value: the policies of its namespace, and whether that is open without one.

Rules that were changed a moment ago release nothing yet: a policy that is opened and closed again within seconds would
otherwise let an alias through.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from assay.planning.promotion import verdict
from assay.planning.promotion.policies import AliasView, Policy

#: How long rules have to be as they are before they release an alias that others have held.
CALM = timedelta(seconds=2)
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Rules:
    """What an alias is judged by."""

    policies: tuple[Policy, ...]
    open_by_default: bool

    def matching(self, alias: AliasView) -> tuple[Policy, ...]:
        """Return the policies that are about an alias, by name."""
        found = (policy for policy in self.policies if verdict.matches(policy, alias))
        return tuple(sorted(found, key=lambda policy: policy.name))

    def asks(self, alias: AliasView) -> "Rules":
        """Return the rules without those that are about other aliases."""
        return Rules(self.matching(alias), self.open_by_default)


@dataclass
class Calm:
    """Since when the rules of each alias are what they are, as far as they were looked at. In memory alone."""

    _known: dict[str, tuple[Rules, datetime]] = field(default_factory=dict)

    def remaining(self, alias_uid: str, rules: Rules, now: datetime) -> timedelta:
        """Take in the rules of an alias as they are now; return how long they have yet to stay so.

        The first rules that an alias is seen with need no time.
        """
        known, since = self._known.get(alias_uid, (rules, now - CALM))
        if known != rules:
            since = now
        self._known[alias_uid] = rules, since
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return max(timedelta(), since + CALM - now)
