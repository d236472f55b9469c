"""What the training code itself reported, beside what the spec says: its objective, its parameters and tags. Pure."""

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Protocol

from assay.api import names
from assay.api.numbers import to_json
from assay.api.run_status import Logged
from assay.planning.conditions import Status, flag

Flag = tuple[Status, str, str]

MAX_PARAMETERS, MAX_TAGS = 100, 50
_MAX_CHARS = 250
_MAX_SHOWN = 5
#: As Python and JSON write numbers: no blanks, no underscores, no leading zeros.
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,3})?")


class _Metric(Protocol):
    @property
    def last(self) -> float: ...
    @property
    def step(self) -> float: ...


class Reported(Protocol):
    """A recorder's summary."""

    @property
    def metrics(self) -> Mapping[str, _Metric]: ...  # noqa: D102
    @property
    def refused(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def tags(self) -> Mapping[str, str]: ...  # noqa: D102


def objective(spec: Mapping[str, Any] | None, summary: Reported) -> Flag | None:
    """Return (status, reason, message) of the condition ObjectiveRecorded of an ended run; None without an objective.

    ``spec`` is the raw field of the Run.
    """
    name = (spec or {}).get("metric")
    if not name:
        return None
    found = summary.metrics.get(name)
    if found is None:
        return flag(False, *_missing(name, summary))
    value = to_json(found.last)
    if isinstance(value, str):
        message = f"the last value of {name} is {value} (step {to_json(found.step)}), so the run is not compared"
        return flag(False, names.NOT_FINITE, message)
    return flag(True, names.OBJECTIVE_FOUND, "")


def _missing(name: str, summary: Reported) -> tuple[str, str]:
    if name in summary.refused:
        message = f"no value of the objective {name} was recorded: {summary.refused[name]}: write numbers, not text"
        return names.VALUES_REJECTED, message
    known = sorted({*summary.metrics, *summary.refused})
    if not known:
        return names.OBJECTIVE_MISSING, f"the run recorded no metrics, so it has no value of the objective {name}"
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:_MAX_SHOWN]) + (f" and {len(known) - _MAX_SHOWN} more" if len(known) > _MAX_SHOWN else "")
    hint = f"did you mean {near[0]}?" if near else f"it recorded {listed}"
    return names.OBJECTIVE_MISSING, f"the run recorded no metric {name}, its objective: {hint}"


def logged(summary: Reported) -> Logged | None:
    """Return the part of a Run's status about logged parameters and tags; None if nothing was logged."""
    if not summary.parameters and not summary.tags:
        return None
    parameters = {name: scalar(text) for name, text in sorted(summary.parameters.items())[:MAX_PARAMETERS]}
    tags = {name: text[:_MAX_CHARS] for name, text in sorted(summary.tags.items())[:MAX_TAGS]}
    omitted = len(summary.parameters) + len(summary.tags) - len(parameters) - len(tags)
    return Logged(parameters=parameters, tags=tags, omitted=omitted or None)


def scalar(text: str) -> bool | int | float | str:
    """Parse a logged text: numbers and booleans as Python and JSON write them."""
    if text in ("True", "true", "False", "false"):
        return text in ("True", "true")
    if _NUMBER.fullmatch(text):
        value = float(text) if set(text) & set(".eE") else int(text)
        if math.isfinite(value) and abs(value) < 2**63:  # what JSON readers keep
            return value
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"


def contradiction(spec: Mapping[str, Any], summary: Reported) -> Flag | None:
    """Return (status, reason, message) of the condition ParametersMatch; None if no name is in both.

    ``spec`` are the parameters of the Run.
    """
    both = sorted(spec.keys() & summary.parameters.keys())
    if not both:
        return None
    wrong = [
        f"the code logged {name}={summary.parameters[name][:_MAX_CHARS]}, "
        f"but spec.parameters.{name} is {_text(spec[name])}"
        for name in both
        if not _same(spec[name], summary.parameters[name])
    ]
    if not wrong:
        return flag(True, names.PARAMETERS_AGREE, "")
    more = f"; and {len(wrong) - _MAX_SHOWN} more" if len(wrong) > _MAX_SHOWN else ""
    return flag(False, names.PARAMETERS_DIFFER, "; ".join(wrong[:_MAX_SHOWN]) + more)


def _same(declared: Any, text: str) -> bool:
    found = scalar(text)
    if isinstance(declared, str):
        return declared[:_MAX_CHARS] == text[:_MAX_CHARS] or found == scalar(declared)
    return isinstance(declared, bool) == isinstance(found, bool) and bool(declared == found)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:_MAX_CHARS]
