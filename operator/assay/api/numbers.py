"""Numbers of metrics in JSON, which has no NaN and no infinities: they are the strings "NaN", "Infinity", "-Infinity".

These are the names of protobuf's JSON mapping, and pydantic reads them as floats.
"""

import math
from typing import Annotated, Any

from pydantic import PlainSerializer
from pydantic.json_schema import WithJsonSchema

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NAMES = {repr(value): name for name, value in NOT_FINITE.items()}


def to_json(value: float) -> float | str:
    """Return the value for JSON; a whole number without a decimal point."""
    if not math.isfinite(value):
        return _NAMES[repr(value)]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def of_json(value: Any) -> float | None:
    """Return the number in a JSON value; None if it is not a number. Integers that are too large are infinite."""
    if isinstance(value, str):
        return NOT_FINITE.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


#: Any double. A structural schema cannot express a number or one of three strings.
Number = Annotated[
    float,
    PlainSerializer(to_json, return_type=Any, when_used="json"),
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True}),
]
#: A step may be fractional.
Step = Annotated[float, PlainSerializer(to_json, return_type=Any, when_used="json")]
