"""Run by the interpreter of an MLflow client: reads runs and the registry of MLFLOW_TRACKING_URI, as JSON."""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

client = MlflowClient()
experiment, run, metric_run = sys.argv[1:4]


def said(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except MlflowException as error:
        return [error.error_code, str(error)]
    return None


def names(**query):
    return [each.info.run_name for each in client.search_runs([experiment], **query)]


found = client.get_run(run)
history = client.get_metric_history(metric_run, "loss")
by_alias = client.get_model_version_by_alias("digits", "champion")
folder = Path(mlflow.artifacts.download_artifacts("models:/digits@champion"))
print(
    json.dumps(
        {
            "version": mlflow.__version__,
            "run": [found.info.status, found.data.params, sorted(found.data.metrics), found.info.experiment_id],
            "all": names(),
            "filtered": names(filter_string="metrics.val_f1 > 0.5 and params.depth IN ('2', '3')"),
            "status": names(filter_string="attributes.status = 'FAILED'"),
            "best": names(order_by=["metrics.loss ASC"], max_results=2),
            "worst": names(order_by=["metrics.loss DESC"], max_results=2),
            "none": names(filter_string="metrics.nothing > 1"),
            "page": [client.search_runs([experiment], max_results=2).token is not None],
            "experiments": sorted(each.name for each in client.search_experiments()),
            "byName": client.get_experiment_by_name(experiment).experiment_id,
            "history": [[point.step, point.value] for point in history],
            "alias": [by_alias.name, str(by_alias.version), by_alias.status],
            "versions": [str(each.version) for each in client.search_model_versions("name='digits'")],
            "models": [each.name for each in client.search_registered_models()],
            "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
            "config": next(folder.rglob("config.json")).read_text(),
            "predicted": {
                uri: list(mlflow.pyfunc.load_model(uri).predict([2]))
                for uri in ("models:/digits@champion", "models:/digits/2")
            },
            "listed": sorted(each.path for each in client.list_artifacts(metric_run)),
            "set": said(client.set_registered_model_alias, "digits", "champion", "2"),
            "missing": said(client.get_run, "nothing"),
            "syntax": said(client.search_runs, [experiment], "metrics.loss >"),
            "refused": said(client.create_experiment, "mine"),
            "log": said(client.log_metric, run, "loss", 1.0),
        }
    )
)
