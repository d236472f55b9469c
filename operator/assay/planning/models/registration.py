"""Registration: which runs become versions of a model, and what a version states about its run.

Pure: it reads Runs and returns what to write. It allocates no numbers, copies no files, and does not know whether a
version already exists. docs/registry.md has the rules for users.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from assay.api import names
from assay.api.experiment import ExperimentStatus, Register
from assay.api.numbers import of_json
from assay.api.objects import Raw
from assay.api.run import Objective
from assay.planning.conditions import Status, conditions, flag
from assay.planning.promotion import expression_cost, expressions, verdict
from assay.planning.runs.facts import run_facts
from assay.planning.search import sweep

Flag = tuple[Status, str, str]

RUN_VARIABLES = ("run",)
_SUMMARY = ("last", "min", "max", "best", "step")
_SOURCE = ("repository", "revision", "path", "dirty")
_DATASET = ("name", "uri", "version", "digest")
_IMAGE = ("container", "image", "digest")
_MODEL = ("path", "digest", "size")
#: Keyed lists of a provenance, and their keys.
_KEYS = {"datasets": "name", "images": "container"}
#: Maximum gap before the number of a version that was made elsewhere: other versions there may never come here.
MAX_GAP = 1000
_MAX_DIFFERENCES = 3
_MAX_MESSAGE = 1000
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
#: As in charts/assay/policies/versions.yaml: a prefix that is not a whole bucket or folder allows nothing.
_PREFIX = re.compile(r"s3://[a-z0-9][-a-z0-9.]*[a-z0-9]/(.+/)?")


# Selection of runs


def run_values(run: Raw) -> Raw:
    """Return the variable ``run`` of ``when``: numbers as floats, but the parameters as they were written.

    Unknown texts are ""; maps omit missing entries.
    """
    metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
    source, model = spec.get("source") or {}, status.get("model") or {}
    return {
        "name": metadata["name"],
        "experiment": _experiment(run),
        "owner": spec.get("owner") or "",
        "parameters": spec.get("parameters") or {},
        "metrics": {
            metric: {key: of_json(value) for key, value in summary.items()}
            for metric, summary in _metrics(status).items()
        },
        "source": {key: source.get(key) or "" for key in _SOURCE if key != "dirty"},
        "model": {
            "path": model.get("path") or "",
            "digest": model.get("digest") or "",
            "size": expression_cost.to_float(model.get("size") or 0),
        },
    }


def problem(register: Register) -> str:
    """Return why ``when`` does not compile, with the position; "" if it compiles or is not set."""
    try:
        if register.when is not None:
            expressions.compile(register.when, RUN_VARIABLES)
    except expressions.ExpressionError as error:
        return f"spec.register.when: {error}"
    return ""


def qualifies(register: Register, run: Raw) -> tuple[bool, str]:
    """Return whether the run becomes a version, and if not, why."""
    status = run.get("status") or {}
    phase = status.get("phase") or "Pending"
    if phase != "Succeeded":
        return False, f"it has not succeeded: its phase is {phase}"
    if not (status.get("record") or {}).get("complete"):
        return False, "its record is incomplete"
    if not (status.get("model") or {}).get("digest"):
        return False, "it produced no model"
    unasked = _unasked(register, status)
    return (False, unasked) if unasked else _wanted(register, run)


def _unasked(register: Register, status: Raw) -> str:
    """Return why the code of a run did not ask for its registration; "" if it did or need not."""
    if register.requested is None:
        return ""
    asked = {each["model"]: each["path"] for each in status.get("requested") or []}
    path = str((status.get("model") or {}).get("path") or "").strip("/")
    found = asked.get(register.requested)
    if found is None:
        others = f", but for {', '.join(sorted(asked))}" if asked else ""
        return f"its code did not ask for a version of the registered model {register.requested}{others}"
    if found.strip("/") != path:
        return (
            f"its code asked to register {found} as {register.requested}, but template.model.path is {path}: "
            "only that artifact can be registered"
        )
    return ""


def _wanted(register: Register, run: Raw) -> tuple[bool, str]:
    """Return whether ``when`` is true for the run, and if not, why."""
    if register.when is None:
        return True, ""
    try:
        expression = expressions.compile(register.when, RUN_VARIABLES)
    except expressions.ExpressionError as error:
        return False, f"spec.register.when: {error}"
    values = expressions.Values({"run": run_values(run)})
    outcome = expression.evaluate(values)
    if outcome.value:
        return True, ""
    omitted = (run.get("status") or {}).get("metricsOmitted") or 0
    why = (
        verdict.cut(outcome, omitted)
        if outcome.value is None
        else expression.shown(values) or f"{register.when} is false"
    )
    return False, f"spec.register.when is not true: {why}"


def pick_best(register: Register, objective: Objective | None, runs: Iterable[Raw]) -> Raw | None:
    """Return the best qualifying run; None if no run qualifies. If runs are equal, the smallest index wins.

    A run without a value of the objective is not compared, so it is never the best.
    """
    found = {run["metadata"]["name"]: run for run in runs if qualifies(register, run)[0]}
    best = sweep.best_run(objective, [run_facts(run) for run in found.values()])
    return found[best.name] if best else None


def why_none(register: Register, objective: Objective | None, runs: Iterable[Raw]) -> str:
    """Return why none of an experiment's runs is registered, using the run that came closest."""
    ended = {run["metadata"]["name"]: run for run in runs if (run.get("status") or {}).get("phase") == "Succeeded"}
    if not ended:
        return "no run has succeeded"
    facts = [run_facts(run) for run in ended.values()]
    if register.pick == "every" and (wanted := [run for run in facts if qualifies(register, ended[run.name])[0]]):
        return f"{len(wanted)} of the runs that succeeded ({len(ended)}) qualify, and are not registered yet"
    best = sweep.best_run(objective, facts)
    nearest = best or min(facts, key=lambda run: (run.index, run.name))
    _, reason = qualifies(register, ended[nearest.name])
    if not reason and objective is not None:
        reason = f"it has no value for {objective.metric}"
    which = f"the best, {nearest.name}" if best else nearest.name
    return f"none of the runs that succeeded ({len(ended)}) qualifies; {which}: {reason}"


def limit_reached(register: Register) -> str:
    """Return the message that the limit is reached and no more runs of an experiment are registered."""
    return f"{register.limit} versions were registered, which is spec.register.limit: register further runs by hand"


# The Experiment's condition


def condition(
    register: Register,
    *,
    over: bool,
    registered: tuple[str, str] | None = None,
    refused: tuple[str, str] | None = None,
    none: str = "",
    full: bool = False,
) -> Flag:
    """Return (status, reason, message) of an Experiment's condition Registered.

    ``over`` means that all its runs have ended. ``registered`` contains the names of the last version and of its run.
    ``full`` means that the limit is reached. ``refused`` contains the name of the run that could not be registered and
    the API server's message. ``none`` is the result of ``why_none``.
    """
    wrong = problem(register)
    if wrong:
        return flag(False, names.INVALID_EXPRESSION, wrong)
    if refused:
        return flag(False, names.REGISTRATION_REFUSED, f"run {refused[0]} was not registered: {refused[1]}")
    if registered:
        more = f"; {limit_reached(register)}" if full else ""
        return flag(True, names.REGISTERED, f"{registered[0]} from run {registered[1]}{more}")
    if over:
        return flag(False, names.NO_RUN_QUALIFIES, none)
    each = "each run" if register.pick == "every" else "the best run, once all have ended,"
    return "Unknown", names.NOT_YET, f"runs are active; {each} is registered if it qualifies"


def told(
    status: ExperimentStatus, found: Flag, version: str = "", *, generation: int, now: datetime
) -> ExperimentStatus:
    """Return the Experiment's status with the condition Registered; its other conditions stay unchanged.

    ``version`` is the name of the ModelVersion that was registered last; "" keeps the known one.
    """
    ours = conditions(status.conditions, {names.REGISTERED: found}, generation, now)
    others = [each for each in status.conditions if each.type != names.REGISTERED]
    return status.model_copy(update={"registered": version or status.registered, "conditions": [*others, *ours]})


# The version


def version_body(run: Raw, model: str, number: int) -> Raw:
    """Return the ModelVersion of a run, ready to be created. Raises ValueError if the run left no model.

    It has no owner: deleting the run or its experiment does not delete the version.
    """
    metadata, spec = run["metadata"], run.get("spec") or {}
    made = _only((run.get("status") or {}).get("model") or {}, _MODEL)
    if not made.get("digest"):
        raise ValueError(f"run {metadata['name']} produced no model")
    experiment = _experiment(run)
    provenance = provenance_of(run)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_VERSION,
        "metadata": {"name": f"{model}.v{number}", "namespace": metadata["namespace"], "labels": _labels(run, model)},
        "spec": {
            "model": model,
            "version": number,
            **({"owner": spec["owner"]} if spec.get("owner") else {}),
            "run": {
                "name": metadata["name"],
                "uid": metadata["uid"],
                **({"experiment": experiment} if experiment else {}),
            },
            "artifact": made,
            **({"provenance": provenance} if provenance else {}),
        },
    }


def _labels(run: Raw, model: str) -> dict[str, str]:
    wanted = {
        names.LABEL_MODEL: model,
        names.LABEL_RUN_UID: run["metadata"]["uid"],
        names.LABEL_RUN: run["metadata"]["name"],
        names.LABEL_EXPERIMENT: _experiment(run),
    }
    return {key: value for key, value in wanted.items() if _LABEL_VALUE.fullmatch(value)}


def _experiment(run: Raw) -> str:
    return (run["metadata"].get("labels") or {}).get(names.LABEL_EXPERIMENT) or ""


# Provenance


def provenance_of(run: Raw) -> Raw:
    """Return what the model was made from, according to the run's record. Unknown parts are left out."""
    spec, status = run.get("spec") or {}, run.get("status") or {}
    found = {
        "parameters": {key: value for key, value in (spec.get("parameters") or {}).items() if value is not None},
        "metrics": {metric: each for metric, each in _metrics(status).items() if "last" in each},
        "source": _only(spec.get("source") or {}, _SOURCE),
        "datasets": _datasets(spec, status),
        "images": [_only(each, _IMAGE) for each in status.get("images") or []],
    }
    seed = _only(spec, ("seed",)) | ({"metricsOmitted": omitted} if (omitted := status.get("metricsOmitted")) else {})
    return {key: value for key, value in found.items() if value} | seed


def _datasets(spec: Raw, status: Raw) -> list[Raw]:
    """Return a Run's data sets. A data set that declares no digest gets the digest that was found."""
    found = {each.get("name"): each.get("digest") for each in status.get("datasets") or []}
    return [
        _only({**each, "digest": each.get("digest") or found.get(each.get("name"))}, _DATASET)
        for each in spec.get("datasets") or []
    ]


def _metrics(status: Raw) -> dict[str, Raw]:
    """Return the summaries of a Run's metrics as they are in JSON, without values that are not numbers."""
    return {
        metric: {key: summary[key] for key in _SUMMARY if of_json(summary.get(key)) is not None}
        for metric, summary in (status.get("metrics") or {}).items()
    }


def _only(found: Mapping[str, Any], keys: Iterable[str]) -> Raw:
    return {key: found[key] for key in keys if found.get(key) is not None}


def disagreement(spec_provenance: Raw | None, found: Raw) -> str:
    """Return how a manifest's provenance contradicts the run's record; "" if it does not.

    ``found`` is ``provenance_of`` the run. A value missing from the manifest is no difference; a value missing from the
    run is one. Numbers are compared by value, as in JSON: 1 equals 1.0, but true does not equal 1.
    """
    differences = []
    for path, said, known in _differences(spec_provenance or {}, found):
        differences.append(f"provenance.{path} is {_text(said)}, the run's is {_text(known)}")
        if len(differences) == _MAX_DIFFERENCES:
            break
    return "; ".join(differences)[:_MAX_MESSAGE]


_Difference = tuple[str, Any, Any]


def _differences(said: Raw, found: Raw) -> Iterator[_Difference]:
    for name, value in (said.get("parameters") or {}).items():
        known = (found.get("parameters") or {}).get(name)
        if value is not None and not _equal(value, known):
            yield f"parameters.{name}", value, known
    for name, value in (said.get("metrics") or {}).items():
        yield from _fields(f"metrics.{name}", value, (found.get("metrics") or {}).get(name))
    yield from _fields("source", said.get("source"), found.get("source"))
    if said.get("seed") is not None and not _equal(said["seed"], found.get("seed")):
        yield "seed", said["seed"], found.get("seed")
    for part, key in _KEYS.items():
        known = {each.get(key): each for each in found.get(part) or []}
        for each in said.get(part) or []:
            yield from _fields(f"{part}[{each.get(key)}]", each, known.get(each.get(key)))


def _fields(path: str, said: Raw | None, found: Raw | None) -> Iterator[_Difference]:
    """Yield the fields of one part that differ. Empty fields are ignored."""
    for field, value in (said or {}).items():
        known = (found or {}).get(field)
        if value not in (None, "") and not _equal(value, known):
            yield f"{path}.{field}", value, known


def _equal(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b):
        # Beyond 64 bits the API server stores a float, so only the precision of a float can be compared.
        exact = all(isinstance(each, int) and -(2**63) <= each < 2**63 for each in (a, b))
        return bool(a == b) if exact else expression_cost.to_float(a) == expression_cost.to_float(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return a value as JSON for messages, so that text is distinguishable from a number."""
    return "not there" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:100]


# Experiment and number


def another_experiment(said: str | None, run: Raw) -> str:
    """Return what is wrong with the experiment that a version names; "" if it names the run's experiment or none."""
    true = _experiment(run)
    if said in (None, "", true):
        return ""
    name = run["metadata"]["name"]
    belongs = f"belongs to the experiment {true}" if true else "does not belong to an experiment"
    return f"spec.run.experiment is {said}, and run {name} {belongs}"


def number_ahead(version: int, highest: int, *, foreign: bool) -> str:
    """Return what a version waits for; "" if it may claim its number. ``highest`` is the largest number so far.

    Numbers increase by one, so that nobody can use up the numbers of others. A version whose files are outside the
    namespace's own prefixes (``foreign``) keeps its original number, up to MAX_GAP above the largest one.
    """
    if version <= highest + 1:
        return ""
    if not foreign:
        return f"the next number is {highest + 1}; register that one first"
    if version <= highest + MAX_GAP:
        return ""
    return f"the largest number is {highest}, and a version from elsewhere is at most {MAX_GAP} above it"


# Entitlement


def entitled(uri: str, namespace: str, bucket: str, allowed: str) -> bool:
    """Return whether a namespace may name this URI: the rule of charts/assay/policies/versions.yaml.

    ``allowed`` is the namespace's annotation assay.dev/allowed-prefixes; "" if it is not set. ``uri`` must have passed
    the schema of ModelVersion, which refuses '..', empty parts and escapes.
    """
    own = f"s3://{bucket}/runs/{namespace}/", f"s3://{bucket}/models/{namespace}/"
    return uri.startswith(own) or named(uri, allowed)


def named(uri: str, allowed: str) -> bool:
    """Return whether the annotation assay.dev/allowed-prefixes of a namespace covers this URI."""
    return uri.startswith(tuple(prefix for prefix in allowed.split(" ") if _PREFIX.fullmatch(prefix)))
