"""Whether a rerun produced the same result as its original run.

Pure. If the recipes differ, the answer is Unknown. Otherwise the metrics decide, within a tolerance. The message also
reports whether the models are identical; without metrics, the models decide.
"""

import json
import math
from collections.abc import Iterator

from assay.api import names
from assay.api.numbers import of_json, to_json
from assay.api.objects import Raw
from assay.api.run import RerunOf
from assay.api.run_status import TERMINAL
from assay.planning.conditions import Status, flag
from assay.planning.runs.compare import Difference, recipe_differences
from assay.planning.runs.outcome import MAX_METRICS

Flag = tuple[Status, str, str]

_VALUES = ("last", "min", "max")
_MAX_SHOWN = 5
#: Metrics of the machine, as the collector `system` and MLflow name them.
_NOT_RESULTS = "system/"


def judge(rerun: Raw, original: Raw | None) -> Flag:
    """Return (status, reason, message) of the condition Reproduced of a finished run.

    ``rerun`` and ``original`` are raw Runs; ``original`` is None when neither the Run nor its record exists.
    """
    reference = RerunOf.model_validate(rerun["spec"]["rerunOf"])
    name = reference.name
    if original is None:
        message = f"neither the Run {name} with the UID {reference.uid} nor its record exists"
        return "Unknown", names.ORIGINAL_MISSING, message
    before, now = original.get("status") or {}, rerun.get("status") or {}
    if before.get("phase") != "Succeeded":
        state = "has failed" if before.get("phase") in TERMINAL else "has not finished"
        return "Unknown", names.ORIGINAL_NOT_SUCCEEDED, f"run {name} {state}: it has no result to compare with"
    if now.get("phase") != "Succeeded":
        return "False", names.NOT_SUCCEEDED, f"run {name} succeeded, but this run did not"
    differences = recipe_differences(original, rerun)
    if differences:
        listed = _listed(map(_described, differences))
        return "Unknown", names.RECIPE_DIFFERS, f"the recipe differs from that of run {name}: {listed}"
    return _results(reference, before, now)


def _results(reference: RerunOf, before: Raw, now: Raw) -> Flag:
    """Compare the results of two runs with the same recipe. ``before`` and ``now`` are their statuses."""
    digests = [(status.get("model") or {}).get("digest") for status in (before, now)]
    metrics = before.get("metrics") or {}, now.get("metrics") or {}
    same_model, model = _model(*digests)
    differences = list(_metrics(reference, *metrics))
    if differences:
        return flag(False, names.METRICS_DIFFER, f"compared with run {reference.name}: {_listed(differences)}; {model}")
    if not any(metrics):
        if not any(digests):
            message = f"neither run {reference.name} nor this run produced metrics or a model"
            return "Unknown", names.NOTHING_TO_COMPARE, message
        return flag(same_model, names.SAME_MODEL if same_model else names.MODEL_DIFFERS, f"no metrics; {model}")
    agree = f"all metrics ({len(metrics[0])}) agree with those of run {reference.name}; {model}"
    return flag(True, names.SAME_MODEL if same_model else names.METRICS_AGREE, agree)


def _model(before: str | None, now: str | None) -> tuple[bool, str]:
    """Return whether two model digests are equal, and a clause about it for the message."""
    if before is None and now is None:
        return False, "there is no model"
    if before is None or now is None:
        return False, "only the original produced a model" if now is None else "the original produced no model"
    if before == now:
        return True, f"the model is the same, {now}"
    return False, f"the model's bytes differ: {now}, was {before}"


# Metrics


def _metrics(reference: RerunOf, before: Raw, now: Raw) -> Iterator[str]:
    """Yield a description of each difference between the metric summaries."""
    for name in sorted(each for each in before.keys() | now.keys() if not each.startswith(_NOT_RESULTS)):
        if name in before and name in now:
            yield from _summary(name, before[name], now[name], reference.tolerances.get(name, reference.tolerance))
        # A status with MAX_METRICS metrics may be truncated.
        elif name in before and len(now) < MAX_METRICS:
            yield f"{name} is missing"
        elif name in now and len(before) < MAX_METRICS:
            yield f"{name} is new"


def _summary(name: str, before: Raw, now: Raw, tolerance: float) -> Iterator[str]:
    for key in _VALUES:
        a, b = of_json(before.get(key)), of_json(now.get(key))
        if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
            if repr(a) != repr(b):
                yield f"{name}.{key} is {_shown(b)}, was {_shown(a)}"
            continue
        off = _relative(a, b)
        if off > tolerance:
            yield f"{name}.{key} is {b!r}, was {a!r} (off by {off:.2g}, tolerance {tolerance:g})"
    if before["step"] != now["step"]:
        yield f"{name}.step is {now['step']}, was {before['step']}"


def _shown(value: float | None) -> str:
    return "absent" if value is None else str(to_json(value))


def _relative(a: float, b: float) -> float:
    """Return the difference of two finite numbers relative to the larger magnitude: 0 to 2."""
    if a == b:
        return 0.0
    larger = max(abs(a), abs(b))
    return abs(a / larger - b / larger)


# Messages


def _described(difference: Difference) -> str:
    now, was = (
        "absent" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:100]
        for value in (difference.b, difference.a)
    )
    return f"{difference.path} is {now}, was {was}"


def _listed(texts: Iterator[str] | list[str]) -> str:
    found = list(texts)
    more = f"; and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
    return "; ".join(found[:_MAX_SHOWN]) + more
