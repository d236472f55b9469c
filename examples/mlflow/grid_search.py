"""Search the parameters of a decision tree with autologging, and read the child runs back. Ordinary MLflow."""

import mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier


def main() -> None:
    mlflow.set_experiment("iris")
    mlflow.sklearn.autolog(max_tuning_runs=6, log_models=False)
    data = load_iris()
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]}
    )
    with mlflow.start_run(run_name="grid search") as run:
        search.fit(data.data, data.target)
        children = MlflowClient().search_runs(
            [run.info.experiment_id],
            f"tags.mlflow.parentRunId = '{run.info.run_id}'",
            order_by=["metrics.mean_test_score DESC"],
        )
        best = children[0]
        mlflow.log_param("best_child_depth", best.data.params["max_depth"])
        mlflow.log_metric("best_child_score", best.data.metrics["mean_test_score"])
        print(f"{len(children)} child runs; the best is {best.info.run_name} with {best.data.params}")


if __name__ == "__main__":
    main()
