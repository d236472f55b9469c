"""Which runs become versions, what a version says of its run, and when a manifest says something else."""

import copy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api import names
from assay.api.experiment import ExperimentStatus, Register
from assay.api.modelversion import ModelVersionSpec
from assay.api.run import Objective
from assay.planning.conditions import conditions, flag
from assay.planning.models import registration
from tests.unit.planning import objects
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "a" * 64
MAXIMIZE = Objective.model_validate({"metric": "accuracy", "direction": "maximize"})
MINIMIZE = Objective.model_validate({"metric": "accuracy", "direction": "minimize"})
WHEN = "run.metrics.accuracy.last >= 0.9"


def register(when: str | None = None, pick: str = "best") -> Register:
    return Register.model_validate({"model": "digits", "when": when, "pick": pick})


def metric(value: float, **more: float) -> Raw:
    return {"last": value, "min": 0, "max": value, "step": 9, "count": 10, **more}


def run(index: int = 0, accuracy: float | None = 0.95, **spec: Any) -> Raw:
    """Return a run that has succeeded and left a model."""
    found = objects.run(f"sweep-{index}", objective=MAXIMIZE.to_dict(), **spec)
    found["metadata"]["labels"]["assay.dev/index"] = str(index)
    found["status"] = {
        "phase": "Succeeded",
        "record": {"uri": "s3://assay/runs/team/sweep/x/", "complete": True},
        "model": {"path": "model", "digest": DIGEST, "size": 99},
        "metrics": {} if accuracy is None else {"accuracy": metric(accuracy, best=accuracy)},
        "images": [{"container": "train", "image": "train:1", "digest": "registry/train@sha256:1"}],
    }
    return found


def without(*path: str) -> Raw:
    found = run()
    inner = found["status"]
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return found


# What `when` sees


def test_when_sees_the_run_with_its_numbers_as_floats_and_its_parameters_as_written() -> None:
    body = run(owner="ana", parameters={"lr": 1, "deep": True}, source={"repository": "r", "revision": "abc"})
    assert repr(registration.run_values(body)) == repr(
        {
            "name": "sweep-0",
            "experiment": "sweep",
            "owner": "ana",
            "parameters": {"lr": 1, "deep": True},
            "metrics": {"accuracy": {"last": 0.95, "min": 0.0, "max": 0.95, "best": 0.95, "step": 9.0}},
            "source": {"repository": "r", "revision": "abc", "path": ""},
            "model": {"path": "model", "digest": DIGEST, "size": 99.0},
        }
    )


@pytest.mark.parametrize(
    "when",
    [
        WHEN,
        "run.metrics.accuracy.best > run.metrics.accuracy.min + 0.5 && run.metrics.accuracy.step == 9",
        "run.parameters.depth == 3 && run.parameters.kind == 'tree' && run.parameters.shuffle",
        "run.owner == 'ana' && run.experiment == 'sweep' && run.name.startsWith('sweep-')",
        "run.model.size < 1e6 && run.model.path == 'model' && run.source.revision != ''",
        "!has(run.metrics.loss) && !has(run.parameters.other)",
    ],
)
def test_a_run_for_which_when_is_true_qualifies(when: str) -> None:
    parameters = {"depth": 3, "kind": "tree", "shuffle": True, "many": 2**70}
    body = run(parameters=parameters, owner="ana", source={"repository": "r", "revision": "abc"})
    assert registration.problem(register(when)) == ""
    assert registration.qualifies(register(when), body) == (True, "")


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("run.metrics.accuracy.last >= 0.99", "spec.register.when is not true: run.metrics.accuracy.last is 0.95"),
        ("run.metrics.loss.last < 0.1", "spec.register.when is not true: run has no metric loss"),
        ("run.parameters.lr > 0", "spec.register.when is not true: run has no parameter lr"),
        ("run.owner == 'ben'", 'spec.register.when is not true: run.owner is ""'),
        ("run.name", "spec.register.when is not true: the result must be true or false, but it is string"),
        ("false", "spec.register.when is not true: false is false"),
        (
            "run.metrics.accuracy.last % 2 > run.model.size",
            "spec.register.when is not true: % cannot be used with double and int; "
            "write whole numbers as 1.0, or convert with double(…)",
        ),
        ("run.oops(", "spec.register.when: line 1, column 10: Syntax error: mismatched input end of the expression"),
    ],
)
def test_a_run_for_which_when_is_not_true_does_not_qualify(when: str, reason: str) -> None:
    assert registration.qualifies(register(when), run()) == (False, reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (objects.run(), "it has not succeeded: its phase is Pending"),
        (run() | {"status": {"phase": "Failed"}}, "it has not succeeded: its phase is Failed"),
        (without("record"), "its record is incomplete"),
        (without("record", "complete"), "its record is incomplete"),
        (without("model"), "it produced no model"),
    ],
)
def test_only_a_run_that_succeeded_with_a_whole_record_and_a_model_qualifies(body: Raw, reason: str) -> None:
    assert registration.qualifies(register(), body) == (False, reason)


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        (None, ""),
        ("oops > 1", "spec.register.when: line 1, column 1: there is no 'oops'; variables: run"),
        (
            "candidate.version == 1",
            "spec.register.when: line 1, column 10: there is no 'candidate.version'; variables: run",
        ),
        ("run.name", ""),
        ("run.name + 'x'", "spec.register.when: line 1, column 1: the result must be true or false, but it is string"),
        ("1.0 + 2.0", "spec.register.when: line 1, column 1: the result must be true or false, but it is double"),
    ],
)
def test_compile_errors_have_their_position(when: str | None, problem: str) -> None:
    assert registration.problem(register(when)) == problem


# The best


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ([{"model": "Digits", "path": "model"}], ""),
        ([{"model": "Digits", "path": "model/"}, {"model": "x", "path": "y"}], ""),
        (None, "its code did not ask for a version of the registered model Digits"),
        (
            [{"model": "digits", "path": "model"}],
            "its code did not ask for a version of the registered model Digits, but for digits",
        ),
        (
            [{"model": "Digits", "path": "mlflow-runs/x/model"}],
            "its code asked to register mlflow-runs/x/model as Digits, but template.model.path is model: only that "
            "artifact can be registered",
        ),
    ],
)
def test_a_run_whose_code_has_to_ask_qualifies_when_it_asked_for_its_model(asked: Any, reason: str) -> None:
    body = run()
    body["status"]["requested"] = asked
    wanted = Register.model_validate({"model": "digits", "requested": "Digits"})
    assert registration.qualifies(wanted, body) == (not reason, reason)
    assert registration.qualifies(register(), body) == (True, ""), "without spec.register.requested nobody is asked"
    assert bool(registration.pick_best(wanted, MAXIMIZE, [body])) == (not reason)
    body["status"]["phase"] = "Failed"
    assert not registration.qualifies(wanted, body)[0]
    body["status"]["phase"] = "Succeeded"
    assert not registration.qualifies(wanted.model_copy(update={"when": "false"}), body)[0]


@pytest.mark.parametrize(("objective", "expected"), [(MAXIMIZE, "sweep-2"), (MINIMIZE, "sweep-0")])
def test_the_best_of_those_that_qualify(objective: Objective, expected: str) -> None:
    runs = [run(3, 0.99), run(2, 0.95), run(1, 0.95), run(0, 0.91), run(4, 0.5)]
    runs[0]["status"]["record"]["complete"] = False
    runs[2]["status"]["model"] = None
    best = registration.pick_best(register(WHEN), objective, runs)
    assert best is not None
    assert best["metadata"]["name"] == expected


def test_the_smallest_index_wins_among_equal_runs() -> None:
    best = registration.pick_best(register(), MAXIMIZE, [run(10), run(9), run(2, 0.1)])
    assert best is not None
    assert best["metadata"]["name"] == "sweep-9"


def test_without_runs_that_qualify_or_without_an_objective_there_is_no_best() -> None:
    assert registration.pick_best(register(), MAXIMIZE, []) is None
    assert registration.pick_best(register(WHEN), MAXIMIZE, [run(0, 0.5), run(1, None)]) is None
    assert registration.pick_best(register(), None, [run()]) is None


@pytest.mark.parametrize(
    ("runs", "objective", "expected"),
    [
        ([], MAXIMIZE, "no run has succeeded"),
        ([objects.run()], MAXIMIZE, "no run has succeeded"),
        (
            [run(0, 0.5), run(1, 0.6), run(2, None)],
            MAXIMIZE,
            "none of the runs that succeeded (3) qualifies; the best, sweep-1: "
            "spec.register.when is not true: run.metrics.accuracy.last is 0.6",
        ),
        (
            [run(1, 0.5), run(0, 0.6)],
            None,
            "none of the runs that succeeded (2) qualifies; sweep-0: "
            "spec.register.when is not true: run.metrics.accuracy.last is 0.6",
        ),
    ],
)
def test_the_reason_for_no_best_run_names_the_closest_run(
    runs: list[Raw], objective: Objective | None, expected: str
) -> None:
    assert registration.why_none(register(WHEN), objective, runs) == expected


def test_a_run_without_an_objective_value_is_not_the_best_and_is_reported() -> None:
    assert registration.pick_best(register(), MAXIMIZE, [run(0, None)]) is None
    assert registration.why_none(register(), MAXIMIZE, [run(0, None)]) == (
        "none of the runs that succeeded (1) qualifies; sweep-0: it has no value for accuracy"
    )


def test_qualifying_runs_awaiting_registration_are_reported() -> None:
    runs = [run(0, 0.5), run(1, 0.95), run(2, None), run(3, 0.96)]
    found = registration.why_none(register(WHEN, pick="every"), None, runs)
    assert found == "2 of the runs that succeeded (4) qualify, and are not registered yet"


# The condition


@pytest.mark.parametrize(
    ("given_", "status", "reason", "message"),
    [
        (
            {"over": False},
            "Unknown",
            "NotYet",
            "runs are active; the best run, once all have ended, is registered if it qualifies",
        ),
        ({"over": True, "none": "no run has succeeded"}, "False", "NoRunQualifies", "no run has succeeded"),
        ({"over": True, "registered": ("digits.v3", "d-3")}, "True", "Registered", "digits.v3 from run d-3"),
        ({"over": False, "registered": ("digits.v3", "d-3")}, "True", "Registered", "digits.v3 from run d-3"),
        (
            {"over": True, "registered": ("digits.v3", "d-3"), "refused": ("d-4", "quota exceeded")},
            "False",
            "RegistrationRefused",
            "run d-4 was not registered: quota exceeded",
        ),
    ],
)
def test_the_condition_says_how_far_the_registration_is(given_: Raw, status: str, reason: str, message: str) -> None:
    assert registration.condition(register(WHEN), **given_) == (status, reason, message)


def test_an_invalid_expression_is_reported_before_any_run_ends() -> None:
    found = registration.condition(register("oops"), over=False)
    assert found == ("False", "InvalidExpression", registration.problem(register("oops")))


def test_with_pick_every_the_condition_announces_each_run() -> None:
    found = registration.condition(register(pick="every"), over=False)
    assert found[2] == "runs are active; each run is registered if it qualifies"


def test_the_registered_condition_is_added_and_keeps_its_transition_time() -> None:
    others = conditions([], {names.COMPLETE: flag(True, "X", "x"), names.FAILED: flag(False, "X", "")}, 1, NOW)
    status = ExperimentStatus(conditions=others)
    once = registration.told(status, flag(True, names.REGISTERED, "a"), "digits.v1", generation=2, now=NOW)
    later = NOW + timedelta(hours=1)
    twice = registration.told(once, flag(True, names.REGISTERED, "b"), generation=3, now=later)
    assert [each.type for each in twice.conditions] == ["Complete", "Failed", "Registered"]
    assert twice.conditions[:2] == others
    assert (twice.conditions[2].last_transition_time, twice.conditions[2].message) == (NOW, "b")
    assert twice.registered == "digits.v1"
    assert registration.told(twice, flag(True, names.REGISTERED, "b"), generation=3, now=later) == twice


# The version


def test_a_version_carries_the_link_to_its_run() -> None:
    datasets = [{"name": "digits", "uri": "s3://datasets/digits/", "version": None, "digest": DIGEST}]
    body = run(3, owner="ana", parameters={"lr": 0.1}, source={"repository": "r"}, datasets=datasets)
    assert registration.version_body(body, "digits", 23) == {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {
            "name": "digits.v23",
            "namespace": "team",
            "labels": {
                "assay.dev/model": "digits",
                "assay.dev/run": "sweep-3",
                "assay.dev/run-uid": "uid-sweep-3",
                "assay.dev/experiment": "sweep",
            },
        },
        "spec": {
            "model": "digits",
            "version": 23,
            "owner": "ana",
            "run": {"name": "sweep-3", "uid": "uid-sweep-3", "experiment": "sweep"},
            "artifact": {"path": "model", "digest": DIGEST, "size": 99},
            "provenance": {
                "parameters": {"lr": 0.1},
                "metrics": {"accuracy": {"last": 0.95, "min": 0, "max": 0.95, "best": 0.95, "step": 9}},
                "source": {"repository": "r"},
                "datasets": [{"name": "digits", "uri": "s3://datasets/digits/", "digest": DIGEST}],
                "images": [{"container": "train", "image": "train:1", "digest": "registry/train@sha256:1"}],
            },
        },
    }


def test_a_standalone_run_has_no_experiment_label_and_long_names_are_left_out() -> None:
    body = run()
    body["metadata"]["labels"] = None
    body["metadata"]["name"] = "a" * 64
    found = registration.version_body(body, "digits", 1)
    assert found["metadata"]["labels"] == {"assay.dev/model": "digits", "assay.dev/run-uid": "uid-sweep-0"}
    assert found["spec"]["run"] == {"name": "a" * 64, "uid": "uid-sweep-0"}
    assert "owner" not in found["spec"]


def test_a_run_that_has_left_no_model_gives_no_version() -> None:
    with pytest.raises(ValueError, match="run sweep-0 produced no model"):
        registration.version_body(objects.run(), "digits", 1)


# Any run

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\Z")
numbers = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | numbers | words
#: The API server keeps anything below `parameters`.
anything = st.recursive(
    scalars | st.none(), lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=5
)
summaries = st.fixed_dictionaries(
    {},
    optional={key: numbers | st.none() for key in ("last", "min", "max", "best")}
    | {key: st.integers(0, 2**63 - 1) for key in ("step", "count")},
)
digests = st.sampled_from([DIGEST, "sha256:" + "0" * 64])


def maybe(**fields: Any) -> st.SearchStrategy[Raw]:
    return st.fixed_dictionaries({}, optional={key: value | st.none() for key, value in fields.items()})


def keyed(key: str, items: st.SearchStrategy[Raw]) -> st.SearchStrategy[list[Raw]]:
    return st.lists(items, max_size=4, unique_by=lambda item: item[key])


sources = st.fixed_dictionaries({"repository": words.filter(bool)}, optional={"revision": words | st.none()})
datasets_ = keyed(
    "name",
    st.fixed_dictionaries({"name": labels, "uri": words.filter(bool)}, optional={"digest": digests | st.none()}),
)
images_ = keyed("container", st.fixed_dictionaries({"container": labels, "image": words}, optional={"digest": words}))
specs = maybe(
    owner=words.filter(bool),
    parameters=st.dictionaries(words, anything, max_size=5),
    source=sources,
    datasets=datasets_,
    objective=st.just(MAXIMIZE.to_dict()),
)
statuses = maybe(
    phase=st.sampled_from(["Running", "Succeeded", "Failed"]),
    record=maybe(complete=st.booleans()),
    metrics=st.dictionaries(words.filter(bool) | st.just("accuracy"), summaries, max_size=4),
    images=images_,
    model=st.fixed_dictionaries({"path": words.filter(bool), "digest": digests, "size": st.integers(0, 2**63 - 1)}),
)


@st.composite
def bodies(draw: st.DrawFn, with_model: bool = False) -> Raw:
    found = objects.run(draw(labels))
    found["metadata"]["labels"] = draw(st.none() | st.just({}) | st.just({"assay.dev/experiment": "sweep"}))
    found["spec"] = draw(specs)
    found["status"] = draw(statuses)
    if with_model:
        found["status"]["model"] = {"path": "model", "digest": DIGEST, "size": draw(st.integers(0, 2**63 - 1))}
    elif draw(st.booleans()):
        del found["status"]
    return found


@given(bodies(with_model=True), st.integers(1, 999_999_999))
@settings(max_examples=200, deadline=None)
def test_the_version_of_any_run_is_one_that_the_schema_lets_through(body: Raw, number: int) -> None:
    before = copy.deepcopy(body)
    found = registration.version_body(body, "digits", number)
    assert body == before, "the run is only read"
    spec = ModelVersionSpec.model_validate(json.loads(json.dumps(found["spec"])))
    assert (spec.version, spec.artifact.digest) == (number, DIGEST)
    said = found["spec"].get("provenance")
    assert registration.disagreement(said, registration.provenance_of(body)) == ""
    # What the API server gives back: its numbers are 64 bits wide.
    stored = json.loads(json.dumps(said), parse_int=lambda text: n if abs(n := int(text)) < 2**63 else float(n))
    assert registration.disagreement(stored, registration.provenance_of(body)) == ""


@given(bodies(), st.sampled_from([None, WHEN, "run.parameters.all(p, run.parameters[p] != 7)", "oops"]))
@settings(max_examples=200, deadline=None)
def test_registration_handles_runs_of_any_shape(body: Raw, when: str | None) -> None:
    asked = register(when)
    wanted, reason = registration.qualifies(asked, body)
    assert wanted == (reason == "")
    assert registration.disagreement(registration.provenance_of(body), registration.provenance_of(body)) == ""
    best = registration.pick_best(asked, MAXIMIZE, [body])
    assert best is None or (best is body and wanted)
    assert best is not None or registration.why_none(asked, MAXIMIZE, [body])


# What a manifest says


FOUND = {
    "parameters": {"lr": 0.1, "depth": 3, "deep": True, "big": 2**63 - 1, "huge": 2**70, "list": [1, {"a": 2}]},
    "metrics": {"accuracy": {"last": 0.9, "step": 9}},
    "source": {"repository": "r", "revision": "abc"},
    "datasets": [{"name": "digits", "uri": "s3://d/", "digest": DIGEST}],
    "images": [{"container": "train", "image": "train:1", "digest": "x@sha256:1"}],
}


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"parameters": {}, "metrics": {}, "datasets": [], "images": [], "source": None},
        {"parameters": {"depth": 3.0, "big": 2**63 - 1, "huge": float(2**70), "list": [1.0, {"a": 2}]}},
        {"metrics": {"accuracy": {"last": 0.9, "best": None, "step": 9.0}}},
        {"source": {"repository": "r", "path": ""}},
        {"datasets": [{"name": "digits", "uri": "s3://d/"}], "images": [{"container": "train", "image": "train:1"}]},
    ],
)
def test_a_manifest_may_say_less_than_the_record(said: Raw | None) -> None:
    assert registration.disagreement(said, FOUND) == ""


@pytest.mark.parametrize(
    ("said", "difference"),
    [
        ({"parameters": {"lr": 0.2}}, "provenance.parameters.lr is 0.2, the run's is 0.1"),
        ({"parameters": {"deep": 1}}, "provenance.parameters.deep is 1, the run's is true"),
        ({"parameters": {"lr": "0.1"}}, 'provenance.parameters.lr is "0.1", the run\'s is 0.1'),
        ({"parameters": {"more": False}}, "provenance.parameters.more is false, the run's is not there"),
        ({"parameters": {"big": 2**63 - 2}}, f"provenance.parameters.big is {2**63 - 2}, the run's is {2**63 - 1}"),
        (
            {"parameters": {"list": [1, {"a": 3}]}},
            'provenance.parameters.list is [1, {"a": 3}], the run\'s is [1, {"a": 2}]',
        ),
        ({"metrics": {"accuracy": {"last": 0.99}}}, "provenance.metrics.accuracy.last is 0.99, the run's is 0.9"),
        ({"metrics": {"loss": {"last": 0.1}}}, "provenance.metrics.loss.last is 0.1, the run's is not there"),
        ({"source": {"repository": "r", "path": "x"}}, 'provenance.source.path is "x", the run\'s is not there'),
        ({"source": {"revision": "abd"}}, 'provenance.source.revision is "abd", the run\'s is "abc"'),
        (
            {"datasets": [{"name": "digits", "uri": "s3://d/"}, {"name": "more", "uri": "s3://m/"}]},
            'provenance.datasets[more].name is "more", the run\'s is not there; '
            'provenance.datasets[more].uri is "s3://m/", the run\'s is not there',
        ),
        (
            {
                "images": [
                    {"container": "train", "digest": "x@sha256:2"},
                    {"container": "train", "digest": "x@sha256:1"},
                ]
            },
            'provenance.images[train].digest is "x@sha256:2", the run\'s is "x@sha256:1"',
        ),
    ],
)
def test_provenance_differing_from_the_record_is_reported(said: Raw, difference: str) -> None:
    assert registration.disagreement(said, FOUND) == difference


def test_the_message_about_many_differences_is_bounded() -> None:
    said = {"parameters": {f"p{n}": "x" * 5000 for n in range(64)}}
    found = registration.disagreement(said, {})
    assert found.count("the run's is not there") == 3
    assert len(found) <= 1000


# What a namespace may name


ALLOWED = "s3://shared/models/ s3://whole-bucket/ s3://half/pre s3:///x/ s3://UPPER/x/ nonsense"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://assay/runs/team/sweep/sweep-0/uid/pods/p/artifacts/model", True),
        ("s3://assay/models/team/digits/v1/artifact", True),
        ("s3://assay/runs/team2/x", False),
        ("s3://assay/runs/team", False),
        ("s3://assay/audit/team/x", False),
        ("s3://other/runs/team/x", False),
        ("s3://shared/models/digits/1", True),
        ("s3://shared/modelsx/digits/1", False),
        ("s3://whole-bucket/x", True),
        ("s3://half/prefix/x", False),
        ("s3://UPPER/x/y", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_a_namespace_names_its_own_and_what_is_allowed_for_it(uri: str, expected: bool) -> None:
    assert registration.entitled(uri, "team", "assay", ALLOWED) is expected


def test_the_rule_is_that_of_the_admission_policy() -> None:
    text = (ROOT / "charts/assay/policies/versions.yaml").read_text()
    assert f"prefix.matches('^{registration._PREFIX.pattern}$')" in text
    assert "['s3://assay/runs/' + request.namespace + '/', 's3://assay/models/' + request.namespace + '/']" in text
    assert ".orValue('').split(' ')" in text
    assert "variables.prefixes.exists(prefix, variables.uri.startsWith(prefix))" in text


@pytest.mark.parametrize(
    ("said", "label", "words"),
    [
        ("sweep", "sweep", ""),
        (None, "sweep", ""),
        (None, None, ""),
        ("other", "sweep", "spec.run.experiment is other, and run a belongs to the experiment sweep"),
        ("other", None, "spec.run.experiment is other, and run a does not belong to an experiment"),
    ],
)
def test_a_version_names_the_experiment_of_its_run(said: str | None, label: str | None, words: str) -> None:
    labels = {} if label is None else {"assay.dev/experiment": label}
    assert registration.another_experiment(said, {"metadata": {"name": "a", "labels": labels}}) == words


@pytest.mark.parametrize(
    ("version", "highest", "foreign", "words"),
    [
        (1, 0, False, ""),
        (5, 4, False, ""),
        (3, 4, False, ""),
        (6, 4, False, "the next number is 5; register that one first"),
        (999_999_999, 4, False, "the next number is 5; register that one first"),
        (1004, 4, True, ""),
        (1005, 4, True, "the largest number is 4, and a version from elsewhere is at most 1000 above it"),
    ],
)
def test_version_numbers_increase_by_one(version: int, highest: int, foreign: bool, words: str) -> None:
    assert registration.number_ahead(version, highest, foreign=foreign) == words


def test_the_condition_says_that_the_limit_is_reached() -> None:
    every = Register(model="digits", pick="every", limit=2)
    words = "2 versions were registered, which is spec.register.limit: register further runs by hand"
    found = registration.condition(every, over=False, registered=("digits.v2", "b"), full=True)
    assert found == ("True", "Registered", f"digits.v2 from run b; {words}")
