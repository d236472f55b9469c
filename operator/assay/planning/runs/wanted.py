"""The metrics of a run that somebody needs: its objective, and those that expressions read.

The recorder summarises them even after its maximum of metrics, and the status lists them first. Pure.
"""

from collections.abc import Iterable

from assay.api.objects import Raw
from assay.planning.promotion import expressions

_VARIABLES = {"run": ("run",), "candidate": ("candidate", "current"), "current": ("candidate", "current")}
_METRICS = "metrics"
#: As in `assay.store.limits`, which this package does not import.
MAX_WANTED = 200


def metrics(run: Raw, experiment: Raw | None, policies: Iterable[Raw]) -> list[str]:
    """Return the names, the objective first. ``policies`` are the raw PromotionPolicies of the namespace."""
    found: dict[str, None] = {}
    objective = ((run.get("spec") or {}).get("objective") or {}).get("metric")
    if objective:
        found[objective] = None
    when = (((experiment or {}).get("spec") or {}).get("register") or {}).get("when")
    if when:
        found |= dict.fromkeys(read_by(when, "run"))
    for policy in policies:
        for gate in (policy.get("spec") or {}).get("gates") or []:
            found |= dict.fromkeys(read_by(str(gate.get("expression") or ""), "candidate"))
    return list(found)[:MAX_WANTED]


def read_by(expression: str, variable: str) -> list[str]:
    """Return the metrics that an expression over ``run``, or over ``candidate`` and ``current``, reads by name."""
    try:
        compiled = expressions.compile(expression, _VARIABLES[variable])
    except expressions.ExpressionError:
        return []
    return [path[2] for path in compiled.paths if len(path) > 2 and path[1] == _METRICS]
