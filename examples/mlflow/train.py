"""Train a classifier epoch by epoch, and log metrics, a figure, a table and the model. Ordinary MLflow."""

import argparse
import csv
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, default=0.0001)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    data = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(data.data / 16, data.target, random_state=0)
    model = SGDClassifier(loss="log_loss", alpha=args.alpha, random_state=0)
    rows = []
    with mlflow.start_run(run_name="digits") as run:
        mlflow.log_params({"alpha": args.alpha, "epochs": args.epochs})
        mlflow.set_tag("data", "digits")
        for epoch in range(args.epochs):
            model.partial_fit(train_x, train_y, classes=np.unique(data.target))
            loss = log_loss(test_y, model.predict_proba(test_x))
            accuracy = model.score(test_x, test_y)
            now = round(1000 * time.time())
            mlflow.log_metrics({"val_loss": loss, "val_accuracy": accuracy}, step=epoch, timestamp=now)
            rows += [("val_loss", epoch, now, repr(loss)), ("val_accuracy", epoch, now, repr(accuracy))]
        figure, axes = plt.subplots()
        axes.plot([float(value) for name, *_, value in rows if name == "val_loss"])
        mlflow.log_figure(figure, "loss.png")
        wrong = np.flatnonzero(model.predict(test_x) != test_y)[:10]
        mlflow.log_table({"digit": test_y[wrong].tolist(), "row": wrong.tolist()}, "mistakes.json")
        logged = mlflow.sklearn.log_model(
            model, name="model", registered_model_name="Digits", pip_requirements=["scikit-learn"]
        )
        again = mlflow.sklearn.load_model(logged.model_uri)
        assert (again.predict(test_x) == model.predict(test_x)).all()
        with TemporaryDirectory() as folder:
            path = Path(folder, "history.csv")
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows)
            mlflow.log_artifact(str(path))
        print(f"run {run.info.run_id}: accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
