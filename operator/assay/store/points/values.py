"""Which values in JSON are numbers of a metric, and which step a line without one has. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf, nan
from typing import Any

#: Whole doubles below it are exact, and are written without a decimal point.
_EXACT = 2**53
_STRINGS = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}
#: Python does not parse longer integers, because the time grows with the square of their length.
_MAX_DIGITS = 4300


def _integer(text: str) -> int | str:
    digits = len(text.lstrip("-"))
    return int(text) if digits <= _MAX_DIGITS else f"an integer of {digits} digits"


_decode = json.JSONDecoder().decode
_decode_long = json.JSONDecoder(parse_int=_integer).decode


def parsed(text: str) -> Any:
    """Return the value of a text in JSON, with a string in place of an integer of more than 4300 digits.

    Raises ValueError, and RecursionError for deep nesting.
    """
    try:
        return _decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _decode_long(text)


@dataclass
class Progress:
    """What the default of the next step depends on: the lines with points so far, and the last step in the file."""

    lines: int = 0
    step: float | None = None

    def default(self) -> float:
        """The step of a line without one: the last step, or the number of the line if no line has had a step."""
        return self.lines if self.step is None else self.step

    def accept(self, value: object) -> bool:
        """Take a value as the current step. False if it is not a finite number."""
        step = number(value) if type(value) in (int, float) else None
        if step is None or step - step != 0.0:
            return False
        self.step = int(step) if step.is_integer() and abs(step) < _EXACT else step
        return True


def number(value: object) -> float | None:
    """A value of a metric; None if it is none. null is NaN."""
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    if type(value) is float:
        return value
    if value is None:
        return nan
    return _STRINGS.get(value) if type(value) is str else None


def complaint(value: object) -> str:
    """Why a value is not a number."""
    return "too large" if type(value) is int else "not a number"
