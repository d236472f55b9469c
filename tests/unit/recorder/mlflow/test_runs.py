"""Which run a script's calls belong to, and what is still there after the recorder was killed."""

import math
from typing import Any

import pytest

from tests.unit.recorder.mlflow.endpoint import RUN, Endpoint, Refused

pytestmark = pytest.mark.unit


def test_the_run_of_the_pod_is_there_before_the_script_begins(endpoint: Endpoint) -> None:
    info = endpoint.run()["info"]
    assert (info["run_id"], info["run_name"], info["status"]) == (RUN, "run-1", "RUNNING")
    assert endpoint.ask("GET", "experiments/get", experiment_id="1")["experiment"]["name"] == "digits"


def test_the_run_follows_the_experiment_that_the_script_chooses_before_its_first_run(endpoint: Endpoint) -> None:
    # set_experiment() and then start_run() with MLFLOW_RUN_ID: the client compares the two experiments.
    with pytest.raises(Refused, match="Could not find experiment"):
        endpoint.ask("GET", "experiments/get-by-name", experiment_name="mine")
    made = endpoint.ask("POST", "experiments/create", name="mine")["experiment_id"]
    assert endpoint.run()["info"]["experiment_id"] == made
    endpoint.ask("POST", "experiments/create", name="later")
    assert endpoint.run()["info"]["experiment_id"] == made
    endpoint.restart()
    assert endpoint.run()["info"]["experiment_id"] == made


def test_a_client_that_ignores_the_run_of_the_environment_gets_it_with_its_first_run(endpoint: Endpoint) -> None:
    tags = [{"key": "team", "value": "a"}]
    first = endpoint.ask("POST", "runs/create", experiment_id="1", run_name="mine", tags=tags)["run"]
    second = endpoint.ask("POST", "runs/create", experiment_id="1")["run"]
    assert first["info"]["run_id"] == RUN
    assert first["info"]["run_name"] == "mine"
    assert {"key": "team", "value": "a"} in first["data"]["tags"]
    assert second["info"]["run_id"] != RUN


def test_a_nested_run_is_never_the_run_of_the_pod(endpoint: Endpoint) -> None:
    tags = [{"key": "mlflow.parentRunId", "value": RUN}]
    assert endpoint.ask("POST", "runs/create", experiment_id="1", tags=tags)["run"]["info"]["run_id"] != RUN


def test_all_data_survives_a_restart(endpoint: Endpoint) -> None:
    for step, value in enumerate([0.5, "NaN", "Infinity", "-Infinity", 1e308, -0.0]):
        endpoint.log("odd", value, step)
    endpoint.ask("POST", "runs/log-parameter", run_id=RUN, key="lr", value="0.1")
    endpoint.ask("POST", "runs/set-tag", run_id=RUN, key="words", value='quotes " and ünicode \ud83d\ude00')
    endpoint.ask("POST", "runs/set-tag", run_id=RUN, key="gone", value="1")
    endpoint.ask("POST", "runs/delete-tag", run_id=RUN, key="gone")
    child = endpoint.ask("POST", "runs/create", experiment_id="1", run_name="child")["run"]["info"]["run_id"]
    child = endpoint.ask("POST", "runs/create", experiment_id="1", run_name="child")["run"]["info"]["run_id"]
    endpoint.log("score", 1.5, 3, 1_700_000_000_000, child)
    endpoint.ask("POST", "runs/update", run_id=child, status="FAILED", end_time=7)
    model = endpoint.ask("POST", "logged-models", experiment_id="1", name="model", source_run_id=RUN)["model"]
    endpoint.ask("PATCH", f"logged-models/{model['info']['model_id']}", status="LOGGED_MODEL_READY")
    endpoint.ask("POST", "registered-models/create", name="wanted")
    endpoint.ask("POST", "model-versions/create", name="wanted", source=f"runs:/{RUN}/model", run_id=RUN)
    endpoint.ask("POST", "registered-models/alias", name="wanted", alias="champion", version="1")
    before = everything(endpoint, child, model["info"]["model_id"])
    endpoint.restart()
    assert everything(endpoint, child, model["info"]["model_id"]) == before
    assert endpoint.history("odd") == [(0.5, 0), ("NaN", 1), ("Infinity", 2), ("-Infinity", 3), (1e308, 4), (-0.0, 5)]


def everything(endpoint: Endpoint, child: str, model: str) -> list[Any]:
    return [
        endpoint.run(),
        endpoint.run(child),
        endpoint.history("odd"),
        endpoint.ask("GET", f"logged-models/{model}"),
        endpoint.ask("GET", "registered-models/get", name="wanted"),
        endpoint.ask("POST", "runs/search", experiment_ids=["1"]),
    ]


def test_the_newest_point_is_the_one_of_the_greatest_step(endpoint: Endpoint) -> None:
    for value, step, time in [(1.0, 5, 10), (2.0, 3, 99), (3.0, 5, 11), (math.pi, 5, 11)]:
        endpoint.log("m", value, step, time)
    (metric,) = endpoint.run()["data"]["metrics"]
    assert (metric["value"], metric["step"], metric["timestamp"]) == (math.pi, 5, 11)


def test_a_request_that_is_sent_again_counts_once(endpoint: Endpoint) -> None:
    points = [
        {"key": "m", "value": value, "timestamp": 5, "step": step} for step, value in [(1, 0.5), (2, "NaN"), (1, 0.7)]
    ]
    for _ in range(2):
        endpoint.ask("POST", "runs/log-batch", run_id=RUN, metrics=points)
        endpoint.restart()
    assert endpoint.history("m") == [(0.5, 1), ("NaN", 2), (0.7, 1)]


def test_a_batch_with_one_invalid_part_changes_nothing(endpoint: Endpoint) -> None:
    good = {"key": "m", "value": 1, "timestamp": 1, "step": 1}
    for bad in (
        {"metrics": [good, {"key": "a$b", "value": 1}]},
        {"metrics": [good], "params": [{"key": "../x", "value": "1"}]},
    ):
        with pytest.raises(Refused) as refused:
            endpoint.ask("POST", "runs/log-batch", run_id=RUN, **bad)
        assert refused.value.code == "INVALID_PARAMETER_VALUE"
    assert endpoint.run()["data"]["metrics"] == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"key": "m"}, "Missing value for required parameter 'value'."),
        ({"key": "m", "value": "x"}, "Invalid value \"x\" for parameter 'value' supplied"),
        ({"key": "m", "value": True}, "Please specify value as a valid double"),
        ({"key": "m", "value": 1, "step": 2**63}, "Step must be a valid long"),
        ({"key": "m", "value": 1, "step": 0.5}, "Step must be a valid long"),
        ({"key": "m", "value": 1, "timestamp": -1}, "Timestamp must be a nonnegative long"),
        ({"key": "n" * 4000, "value": 1}, "'Metric name' exceeds the maximum length of 200 characters"),
        ({"key": "a\nb", "value": 1}, "Names may only contain alphanumerics"),
        ({"key": {"a": 1}, "value": 1}, "Missing value for required parameter 'key'."),
        ({"value": 1}, "Missing value for required parameter 'key'."),
        ({"key": "m", "value": 10**400}, "Please specify value as a valid double"),
    ],
    ids=lambda case: str(case)[:40] if isinstance(case, str) else "",
)
def test_an_invalid_point_is_refused_with_the_message_of_mlflow(
    endpoint: Endpoint, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(Refused) as refused:
        endpoint.ask("POST", "runs/log-metric", run_id=RUN, **fields)
    assert (refused.value.status, refused.value.code) == (400, "INVALID_PARAMETER_VALUE")
    assert text in refused.value.message
