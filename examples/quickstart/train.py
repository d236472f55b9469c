"""Recognise handwritten digits with gradient boosting. Nothing in here knows of Assay."""

import argparse
import json
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--depth", type=int, default=2, help="of each tree")
parser.add_argument("--rounds", type=int, default=40, help="of boosting")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("/assay"), help="folder for metrics and artifacts")
args = parser.parse_args()

digits = load_digits()  # 1,797 images of 8 x 8 pixels, part of scikit-learn
x_train, x_val, y_train, y_val = train_test_split(
    digits.data, digits.target, test_size=0.3, stratify=digits.target, random_state=args.seed
)
model = GradientBoostingClassifier(
    learning_rate=args.learning_rate,
    max_depth=args.depth,
    subsample=0.5,
    max_features="sqrt",
    warm_start=True,
    random_state=args.seed,
)

with (args.output / "metrics.jsonl").open("a", buffering=1) as metrics:
    for step in range(1, args.rounds + 1):
        model.set_params(n_estimators=step).fit(x_train, y_train)
        point: dict[str, float] = {"step": step}
        for part, x, y in (("train", x_train, y_train), ("val", x_val, y_val)):
            probabilities = model.predict_proba(x)
            point[f"{part}_loss"] = round(float(log_loss(y, probabilities)), 5)
            point[f"{part}_accuracy"] = round(float(accuracy_score(y, probabilities.argmax(axis=1))), 5)
        print(json.dumps(point), file=metrics)
        print(point, flush=True)

artifacts = args.output / "artifacts"
(artifacts / "model").mkdir(parents=True, exist_ok=True)
joblib.dump(model, artifacts / "model" / "model.joblib")
ConfusionMatrixDisplay.from_estimator(model, x_val, y_val, cmap="Blues")
plt.savefig(artifacts / "confusion_matrix.png", dpi=120)
