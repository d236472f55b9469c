"""Run by the interpreter of an MLflow client: everything that scripts do, against the server of MLFLOW_TRACKING_URI.

It knows nothing of Assay: MLflow's own server passes it, too. Each check is one function; the name and the failure of
each are printed as JSON. Arguments: the checks to run, all by default.
"""

import json
import math
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

MAJOR, MINOR = (int(part) for part in mlflow.__version__.split(".")[:2])
client = MlflowClient()


def check(function):
    """Mark a function as a check."""
    function.is_check = True
    return function


def raises(code, text, call, *arguments, **named):
    raised = None
    try:
        call(*arguments, **named)
    except MlflowException as error:
        raised = error
    assert raised, f"nothing was raised: {code} was expected"
    assert raised.error_code == code, (raised.error_code, str(raised))
    assert text in str(raised), str(raised)


@check
def params_metrics_and_tags():
    with mlflow.start_run(run_name="plain") as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"depth": 3, "name": "ünï"})
        mlflow.set_tags({"team": "a", "long": "x" * 5000})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"acc": 0.5, "f1/val": 0.25}, step=7)
    found = client.get_run(run.info.run_id)
    assert found.data.params == {"lr": "0.1", "depth": "3", "name": "ünï"}, found.data.params
    assert found.data.tags["team"] == "a"
    assert found.data.tags["mlflow.runName"] == found.info.run_name
    # Clients of MLflow 2 ignore the name of a run that MLFLOW_RUN_ID names.
    assert MAJOR < 3 or found.info.run_name == "plain"
    assert len(found.data.tags["long"]) == 5000
    assert found.info.status == "FINISHED"
    assert found.info.end_time >= found.info.start_time
    assert found.data.metrics == {"loss": 0.05, "acc": 0.5, "f1/val": 0.25}, found.data.metrics
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(step, 1 / (step + 1)) for step in range(20)]
    assert all(m.timestamp > 1.6e12 for m in history)
    client.set_tag(run.info.run_id, "team", "b")
    client.delete_tag(run.info.run_id, "long")
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["team"] == "b"
    assert "long" not in tags


@check
def batches():
    with mlflow.start_run() as run:
        metrics = [Metric("m", float(i), 1_700_000_000_000 + i, i) for i in range(1000)]
        client.log_batch(run.info.run_id, metrics=metrics)
        client.log_batch(run.info.run_id, params=[Param(f"p{i}", str(i)) for i in range(100)])
        client.log_batch(run.info.run_id, tags=[RunTag(f"t{i}", str(i)) for i in range(100)])
        history = client.get_metric_history(run.info.run_id, "m")
        assert [(m.value, m.timestamp, m.step) for m in history] == [(m.value, m.timestamp, m.step) for m in metrics]
        client.log_batch(run.info.run_id, metrics=metrics[:10])  # the same points again are no new points
        assert len(client.get_metric_history(run.info.run_id, "m")) == 1000
        raises(
            "INVALID_PARAMETER_VALUE",
            "at most 1000 metrics",
            client._tracking_client.store.log_batch,
            run.info.run_id,
            [Metric("m", 0.0, 1, i) for i in range(1001)],
            [],
            [],
        )


@check
def not_finite():
    with mlflow.start_run() as run:
        for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 1e308, -0.0]):
            mlflow.log_metric("odd", value, step=step)
        client.log_batch(run.info.run_id, metrics=[Metric("batch", math.nan, 1, 0), Metric("batch", math.inf, 2, 1)])
    values = [m.value for m in client.get_metric_history(run.info.run_id, "odd")]
    assert values[0] == 1.0
    assert math.isnan(values[1]), values
    assert values[4] == 1e308
    assert len(client.get_metric_history(run.info.run_id, "batch")) == 2


@check
def nested_runs():
    with mlflow.start_run(run_name="parent") as parent:
        mlflow.log_metric("p", 1)
        for number in range(3):
            with mlflow.start_run(nested=True, run_name=f"child-{number}") as child:
                mlflow.log_param("number", number)
                mlflow.log_metric("score", number * 0.1)
                assert child.info.run_id != parent.info.run_id
    with mlflow.start_run(run_name="second") as second:
        mlflow.log_metric("p", 2)
    assert second.info.run_id != parent.info.run_id
    text = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    found = client.search_runs([parent.info.experiment_id], text, order_by=["metrics.score DESC"])
    assert [run.data.params["number"] for run in found] == ["2", "1", "0"]
    best = client.search_runs([parent.info.experiment_id], f"{text} and metrics.score > 0.05 and params.number != '2'")
    assert [run.info.run_name for run in best] == ["child-1"]


@check
def searching():
    with mlflow.start_run(run_name="search-a") as a:
        mlflow.log_params({"kind": "alpha", "x.y": "1"})
        mlflow.log_metric("val acc", 0.9)
        mlflow.set_tag("group", "searching")
    with mlflow.start_run(run_name="search-b") as b:
        mlflow.log_params({"kind": "beta"})
        mlflow.log_metric("val acc", 0.8)
        mlflow.set_tag("group", "searching")
    where = [a.info.experiment_id]

    def names(text, **named):
        return [run.info.run_name for run in client.search_runs(where, f"tags.group = 'searching' and {text}", **named)]

    assert names("params.kind LIKE 'al%'") == ["search-a"]
    assert names("params.kind ILIKE '%ETA'") == ["search-b"]
    assert names("metrics.`val acc` >= 0.85") == ["search-a"]
    assert names('metrics."val acc" < 0.85 and attributes.status = "FINISHED"') == ["search-b"]
    assert names(f"attributes.run_id IN ('{a.info.run_id}')") == ["search-a"]
    assert names("attributes.run_name = 'search-b'") == ["search-b"]
    assert names('params."x.y" = "1"') == ["search-a"]
    assert names("params.kind != 'x'", order_by=["params.kind ASC"]) == ["search-a", "search-b"]
    assert names("params.kind != 'x'", order_by=["metrics.`val acc` ASC"]) == ["search-b", "search-a"]
    frame = mlflow.search_runs(where, "tags.group = 'searching'")
    assert set(frame["params.kind"]) == {"alpha", "beta"}
    first = client.search_runs(where, "tags.group = 'searching'", max_results=1)
    rest = client.search_runs(where, "tags.group = 'searching'", max_results=1, page_token=first.token)
    assert len(first) == len(rest) == 1
    assert first[0].info.run_id != rest[0].info.run_id
    raises("INVALID_PARAMETER_VALUE", "nvalid", client.search_runs, where, "this is no filter")
    client.delete_run(a.info.run_id)
    assert names("params.kind != 'x'") == ["search-b"]
    assert names("params.kind != 'x'", run_view_type=ViewType.DELETED_ONLY) == ["search-a"]
    raises("INVALID_PARAMETER_VALUE", "must be in the 'active' state", client.log_metric, a.info.run_id, "m", 1.0)
    client.restore_run(a.info.run_id)
    assert len(names("params.kind != 'x'")) == 2
    assert b.info.run_id


@check
def errors():
    with mlflow.start_run() as run:
        mlflow.log_param("p", 1)
        raises("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", mlflow.log_param, "p", 2)
        raises("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", mlflow.log_params, {"p": 2})
        mlflow.log_param("p", 1)
        raises("INVALID_PARAMETER_VALUE", "Names may only contain", client.log_metric, run.info.run_id, "a$b", 1.0)
        raises("INVALID_PARAMETER_VALUE", "", client.log_metric, run.info.run_id, "n" * 4000, 1.0)
        raises("INVALID_PARAMETER_VALUE", "exceed", client.log_param, run.info.run_id, "k" * 251, "v")
        client.log_param(run.info.run_id, "long", "v" * 6001)
        assert client.get_run(run.info.run_id).data.params["long"] == "v" * 6000
        raises("INVALID_PARAMETER_VALUE", "must not resolve", client.set_tag, run.info.run_id, "../x", "1")
    raises("RESOURCE_DOES_NOT_EXIST", "not found", client.get_run, "0" * 32)
    raises("RESOURCE_DOES_NOT_EXIST", "", client.get_experiment, "4711")
    assert client.get_experiment_by_name("there is none") is None


@check
def experiments():
    made = client.create_experiment("made", tags={"k": "v"})
    raises("RESOURCE_ALREADY_EXISTS", "already exists", client.create_experiment, "made")
    found = client.get_experiment(made)
    assert (found.name, found.tags["k"], found.lifecycle_stage) == ("made", "v", "active")
    assert client.get_experiment_by_name("made").experiment_id == made
    client.set_experiment_tag(made, "k2", "v2")
    client.rename_experiment(made, "renamed")
    assert client.get_experiment(made).name == "renamed"
    assert [e.experiment_id for e in client.search_experiments(filter_string="name = 'renamed'")] == [made]
    run = client.create_run(made, run_name="by hand")
    client.log_metric(run.info.run_id, "x", 3.0)
    client.set_terminated(run.info.run_id, "FAILED")
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    client.restore_experiment(made)


@check
def artifacts():
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        run_id = run.info.run_id
        path = Path(folder)
        (path / "a.txt").write_text("alpha")
        (path / "sub").mkdir()
        (path / "sub/b ü.bin").write_bytes(bytes(range(256)))
        mlflow.log_artifact(str(path / "a.txt"))
        mlflow.log_artifacts(folder, "all")
        mlflow.log_text("hello", "texts/hello.txt")
        mlflow.log_dict({"a": [1, 2]}, "data.json")
        names = {entry.path: (entry.is_dir, entry.file_size) for entry in client.list_artifacts(run_id)}
        assert names["a.txt"] == (False, 5)
        assert names["all"][0]
        assert {entry.path for entry in client.list_artifacts(run_id, "all/sub")} == {"all/sub/b ü.bin"}
        assert client.list_artifacts(run_id, "nothing") == []
        got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="all", dst_path=folder + "/got")
        assert (Path(got) / "sub/b ü.bin").read_bytes() == bytes(range(256))
        assert mlflow.artifacts.load_text(f"runs:/{run_id}/texts/hello.txt") == "hello"
        assert mlflow.artifacts.load_dict(f"runs:/{run_id}/data.json") == {"a": [1, 2]}
        mlflow.log_text("changed", "texts/hello.txt")
        assert mlflow.artifacts.load_text(f"runs:/{run_id}/texts/hello.txt") == "changed"


@check
def figures_and_tables():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy

    with mlflow.start_run() as run:
        figure, axes = plt.subplots()
        axes.plot([1, 2, 3])
        mlflow.log_figure(figure, "plots/figure.png")
        mlflow.log_image(numpy.zeros((8, 8, 3), dtype=numpy.uint8), "image.png")
        mlflow.log_table({"question": ["a", "b"], "score": [0.1, 0.2]}, "table.json")
        mlflow.log_table({"question": ["c"], "score": [0.3]}, "table.json")
        table = mlflow.load_table("table.json", run_ids=[run.info.run_id])
        assert len(table) == 3, table
        assert {entry.path for entry in client.list_artifacts(run.info.run_id, "plots")} == {"plots/figure.png"}


@check
def large_file():
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.bin")
        with file.open("wb") as out:
            for _ in range(200):
                out.write(os.urandom(1 << 20))
        mlflow.log_artifact(str(file))
        (entry,) = client.list_artifacts(run.info.run_id)
        assert entry.file_size == 200 << 20


@check
def multipart_uploads_fall_back_to_one_upload():
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(1 << 20)
    os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 << 20)
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
        data = os.urandom(12 << 20)
        Path(folder, "parts.bin").write_bytes(data)
        mlflow.log_artifact(str(Path(folder, "parts.bin")))
        fetched = client.download_artifacts(run.info.run_id, "parts.bin", folder)
        assert Path(fetched).read_bytes() == data


@check
def datasets():
    import pandas

    frame = pandas.DataFrame({"x": [1, 2, 3], "y": [0, 1, 0]})
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, source="s3://bucket/x.csv", name="x"), context="training")
    (found,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert found.dataset.name == "x"
    assert found.tags[0].value == "training"


def _model():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])


def _logged(flavor, model, name):
    """Log a model as this version wants it, and load it again."""
    named = {"name": name} if MAJOR >= 3 else {"artifact_path": name}
    # Without requirements, the client would import the model in another process to find them.
    info = flavor.log_model(model, pip_requirements=["mlflow"], **named)
    return info.model_uri


@check
def sklearn_model():
    with mlflow.start_run() as run:
        uri = _logged(mlflow.sklearn, _model(), "model")
        assert list(mlflow.sklearn.load_model(uri).predict([[0.0], [3.0]])) == [0, 1]
        again = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
        assert list(again.predict([[0.0], [3.0]])) == [0, 1]
        assert list(mlflow.pyfunc.load_model(uri).predict([[3.0]])) == [1]
        paths = {entry.path for entry in client.list_artifacts(run.info.run_id, "model")}
        assert "model/MLmodel" in paths, paths
        second = _logged(mlflow.sklearn, _model(), "model")
        assert list(mlflow.sklearn.load_model(second).predict([[3.0]])) == [1]
    if MAJOR >= 3:
        (found, *_) = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
        assert found.source_run_id == run.info.run_id
        assert client.get_run(run.info.run_id).outputs.model_outputs


@check
def xgboost_model():
    import numpy
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=2).fit(numpy.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])
    with mlflow.start_run():
        assert len(mlflow.xgboost.load_model(_logged(mlflow.xgboost, model, "xgb")).predict([[3.0]])) == 1


@check
def lightgbm_model():
    import lightgbm
    import numpy

    data = numpy.array([[float(i)] for i in range(40)])
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(data, [0] * 20 + [1] * 20)
    with mlflow.start_run():
        assert len(mlflow.lightgbm.load_model(_logged(mlflow.lightgbm, model, "lgbm")).predict(data[:1])) == 1


@check
def autolog_and_grid_search():
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    mlflow.sklearn.autolog(max_tuning_runs=4, silent=True, log_models=False)
    try:
        with mlflow.start_run() as run:
            data = load_iris()
            GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}).fit(data.data, data.target)
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert "best_cv_score" in found.data.metrics, found.data.metrics
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert {child.data.params["max_depth"] for child in children} == {"1", "2", "3"}
    assert all("mean_test_score" in child.data.metrics for child in children)
    assert "cv_results.csv" in {entry.path for entry in client.list_artifacts(run.info.run_id)}


@check
def registering():
    with mlflow.start_run() as run:
        uri = _logged(mlflow.sklearn, _model(), "model")
        version = mlflow.register_model(uri, "wanted", await_registration_for=5)
        assert (version.name, str(version.version), version.status) == ("wanted", "1", "READY")
        client.set_registered_model_alias("wanted", "champion", "1")
        assert str(client.get_model_version_by_alias("wanted", "champion").version) == "1"
        assert list(mlflow.sklearn.load_model("models:/wanted/1").predict([[3.0]])) == [1]
        assert list(mlflow.sklearn.load_model("models:/wanted@champion").predict([[3.0]])) == [1]
        client.set_model_version_tag("wanted", "1", "k", "v")
        client.update_model_version("wanted", "1", "words")
        found = client.get_model_version("wanted", "1")
        assert (found.tags, found.description, found.run_id) == ({"k": "v"}, "words", run.info.run_id)
        assert [m.name for m in client.search_registered_models("name = 'wanted'")] == ["wanted"]
        assert len(client.search_model_versions("name = 'wanted'")) == 1
        mlflow.register_model(uri, "wanted")
        client.delete_model_version("wanted", "2")
        client.delete_registered_model_alias("wanted", "champion")
        raises("RESOURCE_DOES_NOT_EXIST", "not found", client.get_registered_model, "unknown")


def main():
    found = {name: check for name, check in globals().items() if getattr(check, "is_check", False)}
    results = {}
    for name in sys.argv[1:] or found:
        test = found[name]
        start = time.monotonic()
        try:
            test()
            results[name] = ""
        except BaseException:
            results[name] = traceback.format_exc()
            while mlflow.active_run():
                mlflow.end_run()
        print(name, round(time.monotonic() - start, 1), file=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
