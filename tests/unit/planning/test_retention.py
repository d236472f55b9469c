"""What is due to go, what a version still needs, and that an experiment forgets nothing of what has gone."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api import names
from assay.api.experiment import ArchivedRuns, ExperimentSpec, ExperimentStatus
from assay.api.run import Objective
from assay.planning.promotion.policies import parse_duration
from assay.planning.runs import retention
from assay.planning.runs.facts import RunFacts
from assay.planning.runs.retention import NO_CLAIMS, EndedRun, claims_of
from assay.planning.search import sweep
from tests.unit.planning import objects
from tests.unit.planning.objects import NOW, at, experiment_spec

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
ALL = {"jobs": "1m", "archiveAfter": "1h", "artifactsAfter": "1d"}
MAXIMIZE = {"metric": "score", "direction": "maximize"}


def run(uid: str = "u-0", phase: str = "Succeeded", namespace: str = "team", **changes: Any) -> Raw:
    """Return a Run of the experiment `sweep` that ended at NOW."""
    found = objects.run("sweep-0", **changes)
    found["metadata"] |= {"uid": uid, "namespace": namespace}
    uri = f"s3://assay/runs/{namespace}/sweep/sweep-0/{uid}/"
    found["status"] = {"phase": phase, "completionTime": at(0), "record": {"uri": uri}}
    return found


def ended(*given: Any, **changes: Any) -> EndedRun:
    found = retention.ended_run(run(*given, **changes))
    assert found is not None
    return found


def experiment(retention: Raw | None = None, *, register: Raw | None = None, launched: int = 1, **status: Any) -> Raw:
    spec = experiment_spec(
        **({"retention": retention} if retention else {}), **({"register": register} if register else {})
    )
    return {"metadata": {"uid": "uid-sweep"}, "spec": spec, "status": {"launched": launched, **status}}


def version(uid: str = "", uri: str = "", *, namespace: str = "team", verified: str = "") -> Raw:
    condition = {"type": names.ARTIFACT_VERIFIED, "status": verified}
    return {
        "metadata": {"namespace": namespace},
        "spec": {
            **({"run": {"name": "sweep-0", "uid": uid}} if uid else {}),
            "artifact": {"digest": "sha256:x", **({"uri": uri} if uri else {})},
        },
        "status": {"conditions": [condition]} if verified else {},
    }


def due(found: EndedRun, seconds: float, of: Raw | None = None, *versions: Raw) -> tuple[str, ...]:
    awaited = claims_of(filter(retention.unsettled, versions))
    told = retention.due(found, of, claims_of(versions), awaited, NOW + timedelta(seconds=seconds))
    return tuple(part for part, goes in told._asdict().items() if goes)


# When


@pytest.mark.parametrize(
    ("seconds", "goes"),
    [
        (0, ()),
        (59, ()),
        (60, ("jobs",)),
        (3599, ("jobs",)),
        (3600, ("jobs", "archive")),
        (86_399, ("jobs", "archive")),
        (86_400, ("jobs", "artifacts", "archive")),
    ],
)
def test_each_part_expires_after_its_retention(seconds: int, goes: tuple[str, ...]) -> None:
    assert due(ended(retention=ALL), seconds) == goes


def test_everything_is_kept_without_retention() -> None:
    assert due(ended(), 1e9) == ()
    assert due(ended(), 1e9, experiment()) == ()
    assert due(ended(retention={}), 1e9) == ()


def test_a_run_that_is_running_or_has_credentials_is_not_ended() -> None:
    assert retention.ended_run(run(phase="Running")) is None
    busy = run()
    busy["status"]["credentials"] = {"secret": "s"}
    assert retention.ended_run(busy) is None


def test_the_experiments_current_retention_overrides_that_of_the_run() -> None:
    copy = ended(retention={"archiveAfter": "1h"})
    assert due(copy, 7200) == ("archive",)
    assert due(copy, 7200, experiment({"archiveAfter": "1d"})) == ()
    assert due(copy, 7200, experiment()) == (), "the retention was taken away from the experiment"
    assert due(ended(), 7200, experiment({"archiveAfter": "1h"})) == ("archive",)


def test_a_run_that_could_be_launched_again_is_not_archived() -> None:
    assert due(ended(), 1e9, experiment(ALL, launched=0)) == ("jobs", "artifacts")
    assert due(ended(), 1e9, experiment(ALL, launched=1)) == ("jobs", "artifacts", "archive")


def test_deleted_or_unrecorded_parts_are_not_due() -> None:
    for record in ({"uri": "s3://assay/runs/x/", "expired": at(9)}, {}):
        gone = run(retention=ALL)
        gone["status"]["record"] = record
        found = retention.ended_run(gone)
        assert found is not None
        assert due(found, 1e9) == ("jobs", "archive")


@pytest.mark.parametrize("text", ["0s", "59s", "90m", "1d12h", "4w", "1d12h7s"])
def test_durations_round_trip(text: str) -> None:
    assert parse_duration(retention.spelled(parse_duration(text))) == parse_duration(text)


def test_a_time_to_live_is_capped_to_the_job_maximum() -> None:
    assert retention.seconds(parse_duration("90m")) == 5400
    assert retention.seconds(parse_duration("999999w")) == 2**31 - 1


# What is held back


REGISTER = {"model": "digits", "pick": "best"}


@pytest.mark.parametrize(
    ("status", "goes"),
    [
        ({}, ("jobs",)),
        ({"conditions": [{"type": "Registered", "reason": "NotYet"}]}, ("jobs",)),
        ({"conditions": [{"type": "Registered", "reason": "RegistrationRefused"}]}, ("jobs",)),
        ({"conditions": [{"type": "Registered", "reason": "NoRunQualifies"}]}, ("jobs", "artifacts", "archive")),
        ({"conditions": [{"type": "Registered", "reason": "InvalidExpression"}]}, ("jobs", "artifacts", "archive")),
        ({"registered": "digits.v3"}, ("jobs", "artifacts", "archive")),
    ],
)
def test_while_a_run_may_still_be_registered_all_are_kept(status: Raw, goes: tuple[str, ...]) -> None:
    assert due(ended(), 1e9, experiment(ALL, register=REGISTER, **status)) == goes


@pytest.mark.parametrize(("verified", "goes"), [("", ("jobs",)), ("Unknown", ("jobs",)), ("True", ("jobs", "archive"))])
def test_a_version_keeps_the_artifacts_and_until_it_has_its_bytes_the_run(verified: str, goes: tuple[str, ...]) -> None:
    found = ended(retention=ALL)
    named = version("u-0", verified=verified)
    if verified == "True":
        named["status"]["registered"] = at(1)
    assert due(found, 1e9, None, named) == goes
    assert due(found, 1e9, None, version("u-1")) == ("jobs", "artifacts", "archive")
    assert due(found, 1e9, None, version("u-0", namespace="other")) == ("jobs", "artifacts", "archive")


PREFIX = "s3://assay/runs/team/sweep/sweep-0/u-0"


@pytest.mark.parametrize(
    "uri",
    [
        f"{PREFIX}/pods/p/artifacts/model",
        f"{PREFIX}/pods/p/artifacts/model/",
        PREFIX,
        f"{PREFIX}/",
        "s3://assay/runs/team/sweep/sweep-0",
        "s3://assay/runs/team/",
        "s3://assay/runs",
    ],
)
def test_an_address_at_or_above_the_run_prefix_keeps_it_for_all_namespaces(uri: str) -> None:
    assert due(ended(retention=ALL), 1e9, None, version(uri=uri, namespace="prod")) == ("jobs",)


@pytest.mark.parametrize(
    "uri",
    [f"{PREFIX}0/pods/p", "s3://assay/runs/team/sweep/sweep", "s3://other/runs/team/", "s3://assay/models/team/d/v1"],
)
def test_a_version_with_another_address_keeps_no_artifacts(uri: str) -> None:
    assert due(ended(retention=ALL), 1e9, None, version(uri=uri)) == ("jobs", "artifacts", "archive")


def needs(found: EndedRun, versions: list[Raw]) -> bool:
    """The rule once more, as slow and as plain as can be."""
    for each in versions:
        if each["metadata"]["namespace"] == found.namespace and each["spec"].get("run", {}).get("uid") == found.uid:
            return True
        uri = each["spec"]["artifact"].get("uri", "").rstrip("/") + "/"
        if len(uri) > 1 and (uri.startswith(found.uri) or found.uri.startswith(uri)):
            return True
    return False


places = st.sampled_from(["team", "prod"])
uids = st.sampled_from(["u-0", "u-1", "u-10"])
uris = st.builds(
    lambda parts, depth, slash: "s3://assay/" + "/".join(parts[:depth]) + slash,
    st.tuples(st.sampled_from(["runs", "models"]), places, st.just("sweep"), st.just("sweep-0"), uids, st.just("pods")),
    st.integers(1, 6),
    st.sampled_from(["", "/"]),
)
versions = st.builds(
    lambda uid, uri, place, done: version(uid, uri, namespace=place, verified=done),
    uids | st.just(""), uris | st.just(""), places, st.sampled_from(["", "Unknown", "False", "True"]),
)  # fmt: skip


@given(
    st.lists(versions, max_size=4),
    uids,
    places,
    st.integers(0, 200_000),
    st.sampled_from([None, ALL, {"artifactsAfter": "0s"}]),
)
@settings(max_examples=300)
def test_parts_needed_by_a_version_are_never_due(
    some: list[Raw], uid: str, place: str, seconds: int, kept: Raw | None
) -> None:
    found = ended(uid, namespace=place, **({"retention": kept} if kept else {}))
    goes = due(found, seconds, None, *some)
    if needs(found, some):
        assert "artifacts" not in goes
        assert retention.expires(found, None, claims_of(some)) is None
    elif kept is not None:
        assert ("artifacts" in goes) == (timedelta(seconds=seconds) >= parse_duration(kept["artifactsAfter"]))
    if needs(found, [each for each in some if retention.unsettled(each)]):
        assert "archive" not in goes


def test_when_the_artifacts_of_an_archived_run_expire() -> None:
    found = ended(retention=ALL)
    assert retention.expires(found, None, NO_CLAIMS) == NOW + timedelta(days=1)
    assert retention.expires(found, experiment({"archiveAfter": "1h"}), NO_CLAIMS) is None


# What the experiment remembers


def fact(index: int, phase: str, value: float | None = None) -> RunFacts:
    return RunFacts(index, f"sweep-{index}", phase, value)


def spec(total: int, **fields: Any) -> ExperimentSpec:
    parameters = [{"name": "a", "values": list(range(total))}]
    return ExperimentSpec.model_validate(experiment_spec(parameters=parameters, objective=MAXIMIZE) | fields)


values = st.none() | st.sampled_from([0.1, 0.5, 0.5, 0.9])
outcomes = st.lists(st.tuples(st.sampled_from(["Succeeded", "Failed", "Running"]), values), min_size=1, max_size=20)


@given(outcomes, st.integers(0, 2**32), st.sampled_from([{}, {"maxFailedRuns": 3}, {"maxRuns": 5}]))
@settings(max_examples=200, deadline=None)
def test_archiving_in_any_order_does_not_change_the_experiment_status(
    found: list[tuple[str, float | None]], seed: int, limits: Raw
) -> None:
    chance = random.Random(seed)
    of = spec(25, parallelism=3, **limits)
    runs = {f"u-{i}": fact(i, phase, value if phase == "Succeeded" else None) for i, (phase, value) in enumerate(found)}
    whole = sweep.plan(of, ExperimentStatus(), list(runs.values()), generation=1, now=NOW)
    status = whole.status
    archived = status.archived or ArchivedRuns()
    while any(not each.active for each in runs.values()):
        over = [uid for uid, each in runs.items() if not each.active]
        some = chance.sample(over, chance.randint(1, len(over)))
        archived = retention.remember(of.objective, archived, {uid: runs[uid] for uid in some})
        status = status.model_copy(update={"archived": archived})
        # Stopped at any point of the removal: those that are left are counted once.
        left = {uid: each for uid, each in runs.items() if uid not in archived.removing}
        again = sweep.plan(of, status, list(left.values()), generation=1, now=NOW)
        assert again.launch == whole.launch
        assert again.status == status
        runs = left


def test_the_first_of_equal_runs_stays_the_best_after_archiving() -> None:
    maximize = Objective.model_validate(MAXIMIZE)
    late = retention.remember(maximize, ArchivedRuns(), {"b": fact(5, "Succeeded", 0.5)})
    assert late.best is not None
    assert late.best.run == "sweep-5"
    both = retention.remember(maximize, late.model_copy(update={"removing": []}), {"a": fact(2, "Succeeded", 0.5)})
    assert both.best is not None
    assert (both.best.run, both.succeeded, both.removing) == ("sweep-2", 2, ["a"])
    known = ExperimentStatus(archived=late, launched=10)
    plan = sweep.plan(spec(10), known, [fact(3, "Succeeded", 0.5)], generation=1, now=NOW)
    assert plan.status.best is not None
    assert (plan.status.best.run, plan.status.best.parameters) == ("sweep-3", {"a": 3})


def test_without_an_objective_archived_runs_are_only_counted() -> None:
    found = retention.remember(None, ArchivedRuns(failed=2), {"a": fact(0, "Succeeded", 1.0), "b": fact(1, "Failed")})
    assert found == ArchivedRuns(succeeded=1, failed=3, removing=["a", "b"])
