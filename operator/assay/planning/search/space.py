"""The search space of an Experiment as a sequence of parameter sets, one per run.

The sequence depends on the spec only: run N has the same parameters after an operator restart, on another cluster,
and when maxRuns grows.
"""

import functools
import math
import random
import re

from assay.api.common import Scalar
from assay.api.experiment import MAX_RUNS, ExperimentSpec, Parameter
from assay.api.run import PARAMETER_NAME, PARAMETER_NAME_RULE

ParameterSet = dict[str, Scalar]


class InvalidSearch(ValueError):
    """The API server accepted the search space, but it is invalid."""


def size(spec: ExperimentSpec) -> int:
    """Return the number of runs that the spec defines. Raises InvalidSearch for too many runs or invalid parameters."""
    full = _full_size(spec)
    total = full if spec.max_runs is None else min(full, spec.max_runs)
    if total > MAX_RUNS:
        raise InvalidSearch(
            f"the search defines {total} runs, but the maximum is {MAX_RUNS}: set maxRuns or list fewer values"
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
    """Raise InvalidSearch for an invalid parameter name or an unsupported value."""
    for name, value in parameters.items():
        if len(name) > 63 or not re.fullmatch(PARAMETER_NAME, name):
            raise InvalidSearch(f"{where}: invalid parameter name {name[:80]!r}: {PARAMETER_NAME_RULE}")
        _check_value(value, f"{where}: parameter {name!r}")


def _check_value(value: object, where: str) -> None:
    if not isinstance(value, bool | int | float | str):
        raise InvalidSearch(f"{where}: a value must be a number, a string or a boolean")


def parameters_of(spec: ExperimentSpec, index: int) -> ParameterSet:
    """Return the parameters of run ``index``, counted from 0. Raises IndexError outside the search space."""
    if not 0 <= index < _full_size(spec):
        raise IndexError(f"the search space has no run {index}")
    match spec.search.strategy:
        case "list":
            return dict((spec.search.list_ or [])[index])
        case "random":
            if all(parameter.values for parameter in spec.parameters):
                size = math.prod(len(parameter.values or []) for parameter in spec.parameters)
                rounds, position = divmod(index, size)
                return _grid_point(spec.parameters, _order(f"{spec.search.seed}/{rounds}", size).at(position))
            return {p.name: _draw(p, random.Random(f"{spec.search.seed}/{index}/{p.name}")) for p in spec.parameters}
        case _:
            return _grid_point(spec.parameters, index)


def _grid_point(parameters: list[Parameter], index: int) -> ParameterSet:
    """Interpret the index as a mixed-radix number; the last parameter is the least significant digit."""
    chosen: ParameterSet = {}
    for parameter in reversed(parameters):
        values = parameter.values or []
        index, position = divmod(index, len(values))
        chosen[parameter.name] = values[position]
    return {parameter.name: chosen[parameter.name] for parameter in parameters}


class _Order:
    """A random order of the numbers below ``size``, without repetitions. Only the part that is needed is drawn."""

    def __init__(self, seed: str, size: int) -> None:
        self._source, self._size = random.Random(seed), size
        self._drawn: list[int] = []
        self._seen: set[int] = set()

    def at(self, position: int) -> int:
        """Return the number at a position."""
        while len(self._drawn) <= position:
            number = self._source.randrange(self._size)
            if number not in self._seen:
                self._seen.add(number)
                self._drawn.append(number)
        return self._drawn[position]


@functools.lru_cache(maxsize=64)
def _order(seed: str, size: int) -> _Order:
    return _Order(seed, size)


def _draw(parameter: Parameter, source: random.Random) -> Scalar:
    """Draw one value. Each (seed, run, parameter) has its own generator, so draws are independent of each other."""
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
    # Rounding can exceed a bound of the range by one bit.
    return min(max(drawn, low), high)


def run_name(experiment: str, index: int) -> str:
    """Return the name of run ``index`` of an experiment. The name is deterministic, so a repeated create is safe."""
    return f"{experiment}-{index}"


__all__ = ["InvalidSearch", "ParameterSet", "check_names", "parameters_of", "run_name", "size"]
