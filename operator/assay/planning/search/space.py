"""The search space of an Experiment as a sequence of parameter sets, one a run.

The sequence is a function of the spec alone: run N has the same parameters after a restart of the operator,
on another cluster, and when maxRuns grows.
"""

import math
import random
import re

from assay.api.common import Scalar
from assay.api.experiment import MAX_RUNS, ExperimentSpec, Parameter
from assay.api.run import PARAMETER_NAME

ParameterSet = dict[str, Scalar]


class InvalidSearch(ValueError):
    """A search space that the API server accepted and that nevertheless cannot be searched."""


def size(spec: ExperimentSpec) -> int:
    """Return how many runs the spec asks for; InvalidSearch when they are too many or have bad names."""
    full = _full_size(spec)
    total = full if spec.max_runs is None else min(full, spec.max_runs)
    if total > MAX_RUNS:
        raise InvalidSearch(
            f"the search asks for {total} runs, and {MAX_RUNS} is the most: set maxRuns, or give fewer values"
        )
    for index, combination in enumerate(spec.search.list_ or []):
        check_names(combination, f"spec.search.list[{index}]")
    for parameter in spec.parameters:
        for index, value in enumerate(parameter.values or []):
            _check_value(value, f"spec.parameters: {parameter.name!r}: values[{index}]")
    return total


def _full_size(spec: ExperimentSpec) -> int:
    match spec.search.strategy:
        case "list":
            return len(spec.search.list_ or [])
        case "random":
            return spec.max_runs or 0
        case _:
            return math.prod(len(parameter.values or []) for parameter in spec.parameters)


def check_names(parameters: ParameterSet, where: str) -> None:
    """Raise InvalidSearch when a parameter's name cannot be part of an environment variable's name."""
    for name, value in parameters.items():
        if len(name) > 63 or not re.fullmatch(PARAMETER_NAME, name):
            raise InvalidSearch(
                f"{where}: parameter {name[:80]!r}: a name has letters, digits and '_', does not begin with a digit, "
                "and has 63 characters at most, because it becomes the environment variable PARAM_<name>"
            )
        _check_value(value, f"{where}: parameter {name!r}")


def _check_value(value: object, where: str) -> None:
    if not isinstance(value, bool | int | float | str):
        raise InvalidSearch(f"{where}: a value is a number, a string or a boolean")


def parameters_of(spec: ExperimentSpec, index: int) -> ParameterSet:
    """Return the parameters of run number ``index``, counted from 0; IndexError beyond the search space."""
    if not 0 <= index < _full_size(spec):
        raise IndexError(f"the search space has no run {index}")
    match spec.search.strategy:
        case "list":
            return dict((spec.search.list_ or [])[index])
        case "random":
            return {p.name: _draw(p, random.Random(f"{spec.search.seed}/{index}/{p.name}")) for p in spec.parameters}
        case _:
            return _grid_point(spec.parameters, index)


def _grid_point(parameters: list[Parameter], index: int) -> ParameterSet:
    """Read the index as a number in mixed radix, the last parameter being the lowest digit."""
    chosen: ParameterSet = {}
    for parameter in reversed(parameters):
        values = parameter.values or []
        index, position = divmod(index, len(values))
        chosen[parameter.name] = values[position]
    return {parameter.name: chosen[parameter.name] for parameter in parameters}


def _draw(parameter: Parameter, source: random.Random) -> Scalar:
    """Draw one value; each (seed, run, parameter) has a generator of its own, so that none shifts another."""
    if parameter.values:
        return source.choice(parameter.values)
    low, high = parameter.min or 0.0, parameter.max or 0.0
    match parameter.distribution:
        case "int":
            return source.randint(int(low), int(high))
        case "logUniform":
            drawn = math.exp(source.uniform(math.log(low), math.log(high)))
        case _:
            drawn = source.uniform(low, high)
    # Rounding may step over an end of the range by the last bit.
    return min(max(drawn, low), high)


def run_name(experiment: str, index: int) -> str:
    """Return the name of run number ``index`` of an experiment: deterministic, so that creating it twice is safe."""
    return f"{experiment}-{index}"


__all__ = ["InvalidSearch", "ParameterSet", "check_names", "parameters_of", "run_name", "size"]
