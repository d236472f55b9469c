"""Run by an interpreter that has XGBoost: train, so that it prints its lines, and write the results that it returns."""

import json
import sys
from pathlib import Path

import numpy as np
import xgboost

ROUNDS = 25


def main() -> None:
    chance = np.random.default_rng(3)
    data = chance.normal(size=(200, 4))
    labels = data @ [1.0, -2.0, 0.5, 0.0] + chance.normal(size=200) / 10
    train, evaluated = xgboost.DMatrix(data[:150], labels[:150]), xgboost.DMatrix(data[150:], labels[150:])
    results: dict[str, dict[str, list[float]]] = {}
    xgboost.train(
        {"eval_metric": ["rmse", "mae"], "max_depth": 3, "seed": 1},
        train,
        ROUNDS,
        evals=[(train, "train"), (evaluated, "eval")],
        evals_result=results,
    )
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
