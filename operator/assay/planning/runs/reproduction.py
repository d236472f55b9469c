"""Whether a rerun has given the same result as the run that it repeats.

Pure. That both were made by the same recipe is asked first; where they were not, nothing can be said. Then the metrics
decide, within a tolerance. Whether the model is the same to the last byte is told beside it, and decides where there
are no metrics.
"""

import json
from collections.abc import Iterator

from assay.api import names
from assay.api.objects import Raw
from assay.api.run import RerunOf
from assay.api.run_status import TERMINAL
from assay.planning.conditions import Status, flag
from assay.planning.runs.compare import Difference, recipe_differences
from assay.planning.runs.outcome import MAX_METRICS

Flag = tuple[Status, str, str]

_VALUES = ("last", "min", "max")
_MAX_SHOWN = 5


def judge(rerun: Raw, original: Raw | None) -> Flag:
    """Return (status, reason, message) of the condition Reproduced of a run that has ended.

    ``rerun`` and ``original`` are raw Runs; the original is None when neither it nor its record is there.
    """
    wanted = RerunOf.model_validate(rerun["spec"]["rerunOf"])
    if original is None:
        said = f"there is neither a Run {wanted.name} with the UID {wanted.uid} nor a record of it"
        return "Unknown", names.ORIGINAL_MISSING, said
    before, now = original.get("status") or {}, rerun.get("status") or {}
    if before.get("phase") != "Succeeded":
        so = "has failed" if before.get("phase") in TERMINAL else "goes on"
        return "Unknown", names.ORIGINAL_NOT_SUCCEEDED, f"run {wanted.name} {so}: it has no result to compare with"
    if now.get("phase") != "Succeeded":
        return "False", names.NOT_SUCCEEDED, f"run {wanted.name} has succeeded, and this one has not"
    others = recipe_differences(original, rerun)
    if others:
        return "Unknown", names.RECIPE_DIFFERS, f"not the recipe of run {wanted.name}: {_listed(map(_said, others))}"
    return _results(wanted, before, now)


def _results(wanted: RerunOf, before: Raw, now: Raw) -> Flag:
    """Compare what two runs by one recipe have come to. ``before`` and ``now`` are their statuses."""
    digests = [(status.get("model") or {}).get("digest") for status in (before, now)]
    metrics = before.get("metrics") or {}, now.get("metrics") or {}
    same_model, model = _model(*digests)
    differences = list(_metrics(wanted, *metrics))
    if differences:
        return flag(False, names.METRICS_DIFFER, f"compared with run {wanted.name}: {_listed(differences)}; {model}")
    if not any(metrics):
        if not any(digests):
            said = f"neither run {wanted.name} nor this one has left metrics or a model"
            return "Unknown", names.NOTHING_TO_COMPARE, said
        return flag(same_model, names.SAME_MODEL if same_model else names.MODEL_DIFFERS, f"no metrics; {model}")
    agree = f"all metrics ({len(metrics[0])}) agree with those of run {wanted.name}; {model}"
    return flag(True, names.SAME_MODEL if same_model else names.METRICS_AGREE, agree)


def _model(before: str | None, now: str | None) -> tuple[bool, str]:
    """Return whether two models are the same, and what to say of it."""
    if before is None and now is None:
        return False, "there is no model"
    if before is None or now is None:
        return False, "only the original has left a model" if now is None else "the original has left no model"
    if before == now:
        return True, f"the model is the same, {now}"
    return False, f"the model's bytes differ: {now}, was {before}"


# Metrics


def _metrics(wanted: RerunOf, before: Raw, now: Raw) -> Iterator[str]:
    """Yield what differs in the summaries of metrics, in words."""
    for name in sorted(before.keys() | now.keys()):
        if name in before and name in now:
            yield from _summary(name, before[name], now[name], wanted.tolerances.get(name, wanted.tolerance))
        # A status that is full has left metrics out.
        elif name in before and len(now) < MAX_METRICS:
            yield f"{name} is missing"
        elif name in now and len(before) < MAX_METRICS:
            yield f"{name} is new"


def _summary(name: str, before: Raw, now: Raw, tolerance: float) -> Iterator[str]:
    for key in _VALUES:
        a, b = float(before[key]), float(now[key])
        off = _relative(a, b)
        if off > tolerance:
            yield f"{name}.{key} is {b!r}, was {a!r} (off by {off:.2g}, tolerance {tolerance:g})"
    if before["step"] != now["step"]:
        yield f"{name}.step is {now['step']}, was {before['step']}"


def _relative(a: float, b: float) -> float:
    """Return how far two finite numbers are apart, relative to the larger one: 0 to 2."""
    if a == b:
        return 0.0
    larger = max(abs(a), abs(b))
    return abs(a / larger - b / larger)


# Words


def _said(difference: Difference) -> str:
    now, was = (
        "not there" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:100]
        for value in (difference.b, difference.a)
    )
    return f"{difference.path} is {now}, was {was}"


def _listed(texts: Iterator[str] | list[str]) -> str:
    said = list(texts)
    more = f"; and {len(said) - _MAX_SHOWN} more" if len(said) > _MAX_SHOWN else ""
    return "; ".join(said[:_MAX_SHOWN]) + more
