import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.experiment import ExperimentSpec
from assay.planning.search import space
from tests.unit.planning.objects import experiment_spec

pytestmark = pytest.mark.unit

scalars = st.one_of(st.booleans(), st.integers(-1000, 1000), st.floats(-10, 10), st.text(max_size=5))
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@st.composite
def grids(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(names, max_size=3, unique=True))
    return [{"name": key, "values": draw(st.lists(scalars, min_size=1, max_size=4))} for key in keys]


@st.composite
def dimensions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Parameters of a random search that the API server would accept."""
    found: list[dict[str, Any]] = []
    for key in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        kind = draw(st.sampled_from(["values", "uniform", "logUniform", "int"]))
        if kind == "values":
            found.append({"name": key, "values": draw(st.lists(scalars, min_size=1, max_size=4))})
            continue
        if kind == "int":
            low = draw(st.integers(-1000, 1000))
            high = low + draw(st.integers(1, 1000))
        else:
            low = draw(st.floats(1e-9 if kind == "logUniform" else -1e9, 1e9))
            high = draw(st.floats(low, 2e9, exclude_min=True))
        found.append({"name": key, "min": low, "max": high, "distribution": kind})
    return found


def spec(**fields: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(experiment_spec(**fields))


def all_of(found: ExperimentSpec) -> list[dict[str, Any]]:
    return [space.parameters_of(found, index) for index in range(space.size(found))]


def random_spec(parameters: list[dict[str, Any]], runs: int, seed: int = 0) -> ExperimentSpec:
    return spec(parameters=parameters, maxRuns=runs, search={"strategy": "random", "seed": seed})


@given(grids())
def test_a_grid_is_the_product_in_the_order_of_the_spec(parameters: list[dict[str, Any]]) -> None:
    expected = [
        dict(zip([p["name"] for p in parameters], values, strict=True))
        for values in itertools.product(*(p["values"] for p in parameters))
    ]
    found = all_of(spec(parameters=parameters))
    # 1, 1.0 and True are equal in Python and not for a training script.
    assert repr(found) == repr(expected)


@given(grids(), st.integers(1, 100))
def test_max_runs_cuts_a_grid_and_changes_nothing_else(parameters: list[dict[str, Any]], limit: int) -> None:
    assert all_of(spec(parameters=parameters, maxRuns=limit)) == all_of(spec(parameters=parameters))[:limit]


@given(st.lists(st.dictionaries(names, scalars, max_size=3), min_size=1, max_size=6))
def test_a_list_search_is_used_unchanged(combinations: list[dict[str, Any]]) -> None:
    assert all_of(spec(search={"strategy": "list", "list": combinations})) == combinations


def test_without_parameters_there_is_one_run() -> None:
    assert all_of(spec()) == [{}]


@given(dimensions(), st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**31 - 1))
def test_random_draws_stay_when_more_are_asked_for(
    parameters: list[dict[str, Any]], few: int, more: int, seed: int
) -> None:
    first = all_of(random_spec(parameters, few, seed))
    assert len(first) == few
    assert all_of(random_spec(parameters, few + more, seed))[:few] == first


@given(dimensions(), st.integers(0, 2**31 - 1))
def test_random_draws_lie_within_their_bounds(parameters: list[dict[str, Any]], seed: int) -> None:
    for drawn in all_of(random_spec(parameters, 5, seed)):
        assert list(drawn) == [p["name"] for p in parameters]
        for parameter in parameters:
            value = drawn[parameter["name"]]
            if "values" in parameter:
                assert value in parameter["values"]
            else:
                assert parameter["min"] <= value <= parameter["max"]
                assert parameter["distribution"] != "logUniform" or value > 0
                assert isinstance(value, int) == (parameter["distribution"] == "int")


def test_another_seed_gives_other_parameters() -> None:
    parameters = [{"name": "lr", "min": 1e-5, "max": 1.0, "distribution": "logUniform"}]
    assert all_of(random_spec(parameters, 5, seed=1)) != all_of(random_spec(parameters, 5, seed=2))


def test_a_further_parameter_does_not_shift_the_others() -> None:
    lr, depth = {"name": "lr", "min": 0, "max": 1}, {"name": "depth", "min": 1, "max": 9, "distribution": "int"}
    alone = [drawn["lr"] for drawn in all_of(random_spec([lr], 5))]
    assert [drawn["lr"] for drawn in all_of(random_spec([depth, lr], 5))] == alone


def test_a_log_uniform_draw_finds_every_order_of_magnitude() -> None:
    parameters = [{"name": "lr", "min": 1e-6, "max": 1.0, "distribution": "logUniform"}]
    small = sum(drawn["lr"] < 1e-3 for drawn in all_of(random_spec(parameters, 200)))
    assert 70 < small < 130


def test_an_int_draw_reaches_both_ends() -> None:
    parameters = [{"name": "depth", "min": 1, "max": 3, "distribution": "int"}]
    assert {drawn["depth"] for drawn in all_of(random_spec(parameters, 60))} == {1, 2, 3}


def test_draws_are_the_same_on_every_machine() -> None:
    """The record of an experiment is worth little if another version of Python would have drawn otherwise."""
    parameters = [
        {"name": "lr", "min": 1e-4, "max": 0.1, "distribution": "logUniform"},
        {"name": "depth", "min": 1, "max": 9, "distribution": "int"},
        {"name": "kind", "values": ["a", "b", "c"]},
    ]
    assert [{**drawn, "lr": round(drawn["lr"], 9)} for drawn in all_of(random_spec(parameters, 3, seed=17))] == DRAWN


DRAWN = [
    {"lr": 0.001675879, "depth": 3, "kind": "c"},
    {"lr": 0.0014196, "depth": 4, "kind": "b"},
    {"lr": 0.001197092, "depth": 7, "kind": "b"},
]


@pytest.mark.parametrize("index", [-1, 4, 10_000])
def test_a_run_beyond_the_search_space_is_an_error(index: int) -> None:
    found = spec(parameters=[{"name": "a", "values": [1, 2]}, {"name": "b", "values": [1, 2]}])
    with pytest.raises(IndexError, match=re.escape(f"the search space has no run {index}")):
        space.parameters_of(found, index)


def test_the_largest_search_is_accepted_and_one_more_is_not() -> None:
    thousand, hundred = list(range(1000)), list(range(100))
    found = spec(parameters=[{"name": "a", "values": thousand}, {"name": "b", "values": hundred}])
    assert space.size(found) == 100_000
    too_many = [{"name": "a", "values": thousand}, {"name": "b", "values": list(range(101))}]
    with pytest.raises(space.InvalidSearch) as caught:
        space.size(spec(parameters=too_many))
    assert str(caught.value) == (
        "the search defines 101000 runs, but the maximum is 100000: set maxRuns or list fewer values"
    )
    assert space.size(spec(parameters=too_many, maxRuns=5)) == 5


@pytest.mark.parametrize("name", ["", "1a", "-a", "a/b", "a b", "ä", "a" * 64, "a\n"])
def test_a_name_that_no_variable_can_have_is_refused(name: str) -> None:
    with pytest.raises(
        space.InvalidSearch, match=r"^spec\.search\.list\[1\]: invalid parameter name .* a parameter's name has"
    ):
        space.size(spec(search={"strategy": "list", "list": [{"a": 1}, {name: 1}]}))


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_non_scalar_values_are_refused(value: object) -> None:
    with pytest.raises(space.InvalidSearch) as caught:
        space.size(spec(search={"strategy": "list", "list": [{"a": value}]}))
    assert str(caught.value) == "spec.search.list[0]: parameter 'a': a value must be a number, a string or a boolean"
    with pytest.raises(space.InvalidSearch) as caught:
        space.size(spec(parameters=[{"name": "a", "values": [1, value]}]))
    assert str(caught.value) == "spec.parameters: 'a': values[1]: a value must be a number, a string or a boolean"


@given(names, st.integers(0, 99_999))
@settings(max_examples=20)
def test_the_name_of_a_run_fits(name: str, index: int) -> None:
    """The longest name of an Experiment gives names that a Run may have."""
    from assay.api import crd

    longest = space.run_name("x" * crd.EXPERIMENT.longest_name, index)
    assert len(longest) <= crd.RUN.longest_name
