"""Which parameters explain the best values of a metric: PED-ANOVA, as Optuna computes it. Pure.

Watanabe, Bansal, Hutter: PED-ANOVA (IJCAI 2023), https://arxiv.org/abs/2304.10255. It compares where the best runs lie
with where all runs lie, parameter by parameter, so it needs neither a grid nor a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.api.errors import AssayError, InvalidRequest
from assay.api.numbers import of_json
from assay.queries.runs.columns import metric
from assay.queries.runs.rows import RunRow

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: With fewer runs the answer is chance; of more, the newest are taken.
FEWEST, _MOST_RUNS = 8, 2000
#: Texts of one parameter; with more, it is a name rather than a choice.
_MOST_CHOICES = 50
_LOGARITHMIC = 100


@dataclass(frozen=True)
class Importance:
    """One parameter: its share of the whole, and the rank correlation with the metric, None for texts.

    A share is from 0 to 1; all shares add up to 1. The correlation is from -1 to 1 (Spearman).
    """

    name: str
    share: float
    correlation: float | None


@dataclass(frozen=True)
class Importances:
    """The parameters, most important first. ``count`` runs were used; ``best`` is "lowest" or "highest"."""

    metric: str
    best: str
    count: int
    items: list[Importance]


_Value = float | str


@dataclass(frozen=True)
class _Run:
    parameters: dict[str, _Value]
    value: float


def importances(rows: Sequence[RunRow], name: str, *, minimized: bool) -> Importances:
    """Return how important each parameter is for a metric. Raises AssayError if the runs cannot tell."""
    runs = _runs(rows, name)
    if len(runs) < FEWEST:
        raise InvalidRequest(
            f"the importance of parameters needs {FEWEST} runs with a value of {name}, not {len(runs)}",
            hint="compare more runs, or open the page of the experiment",
        )
    names = _varying(runs)
    if not names:
        raise InvalidRequest("no parameter differs that all of these runs have")
    shares = _shares(runs, names, minimized=minimized)
    correlations = {each: _correlation([run.parameters[each] for run in runs], [run.value for run in runs])
                    for each in names}  # fmt: skip
    items = [Importance(each, shares[each], correlations[each]) for each in names]
    return Importances(
        name, "lowest" if minimized else "highest", len(runs), sorted(items, key=lambda each: (-each.share, each.name))
    )


def _runs(rows: Sequence[RunRow], name: str) -> list[_Run]:
    """Return the runs with a finite value, the newest."""
    value = metric(name).value
    newest = sorted(rows, key=lambda row: row["created"], reverse=True)
    found = []
    for row in newest:
        number = of_json(value(row))
        if number is not None and math.isfinite(number):
            known = {key: _parameter(each) for key, each in row["parameters"].items()}
            found.append(_Run({key: each for key, each in known.items() if each is not None}, number))
    return found[:_MOST_RUNS]


def _parameter(value: Any) -> _Value | None:
    """Return a parameter as a number or a text, None if it is neither or not finite."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    number = of_json(value)
    return number if number is not None and math.isfinite(number) else None


def _varying(runs: Sequence[_Run]) -> list[str]:
    """Return the parameters that all runs have, as numbers or as texts, and that differ."""
    common = set.intersection(*(set(run.parameters) for run in runs))
    found = []
    for name in sorted(common):
        values = {run.parameters[name] for run in runs}
        texts = sum(isinstance(value, str) for value in values)
        few = not texts or len(values) <= _MOST_CHOICES
        if len(values) > 1 and texts in (0, len(values)) and few:
            found.append(name)
    return found


def _shares(runs: Sequence[_Run], names: Sequence[str], *, minimized: bool) -> dict[str, float]:
    try:
        import optuna
    except ImportError:
        raise AssayError(
            "the importance of parameters needs the package optuna", hint="install it with `pip install optuna`"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution([run.parameters[name] for run in runs]) for name in names}
    study = optuna.create_study(direction="minimize" if minimized else "maximize")
    study.add_trials(
        optuna.trial.create_trial(
            params={name: run.parameters[name] for name in names}, distributions=distributions, value=run.value
        )
        for run in runs
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: found.get(name, 0.0) for name in names}


def _distribution(values: Sequence[_Value]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(values[0], str):
        return CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = min(map(float, values)), max(map(float, values))
    return FloatDistribution(low, high, log=low > 0 and high / low > _LOGARITHMIC)


def _correlation(parameters: Sequence[_Value], values: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of numbers, None for texts or if all values are the same."""
    import numpy

    if isinstance(parameters[0], str) or len(set(values)) < 2:
        return None
    found = numpy.corrcoef(_ranks(list(map(float, parameters))), _ranks(values))[0, 1]
    return float(found)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places: dict[float, list[int]] = {}
    for place, at in enumerate(order):
        places.setdefault(values[at], []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]
