"""Logistic regression on two clouds of points, by hand, with TensorBoard's event files. Knows nothing of Assay."""

import argparse
import csv
from pathlib import Path

import numpy
from tensorboardX import SummaryWriter


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--logs", default="logs", help="folder for the event files")
    parser.add_argument("--history", default="history.csv", help="the same scalars, as a table")
    return parser.parse_args()


def clouds(rng: numpy.random.Generator, count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    labels = rng.integers(0, 2, count)
    return rng.normal(labels[:, None] * 1.5, 1.0, (count, 2)), labels


def evaluate(weights: numpy.ndarray, points: numpy.ndarray, labels: numpy.ndarray) -> tuple[float, float]:
    """Return cross entropy and accuracy."""
    chances = predict(weights, points)
    loss = -numpy.mean(numpy.log(numpy.where(labels == 1, chances, 1 - chances)))
    return float(loss), float(numpy.mean((chances > 0.5) == labels))


def predict(weights: numpy.ndarray, points: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-(points @ weights[:2] + weights[2])))


def main() -> None:
    options = parse()
    rng = numpy.random.default_rng(0)
    (points, labels), validation = clouds(rng, 400), clouds(rng, 200)
    weights = numpy.zeros(3)
    with SummaryWriter(options.logs) as writer, Path(options.history).open("w", newline="") as file:
        table = csv.writer(file)
        for epoch in range(options.epochs):
            errors = predict(weights, points) - labels
            gradient = numpy.append(errors @ points, errors.sum()) / len(labels)
            weights -= options.learning_rate * gradient
            loss, accuracy = evaluate(weights, *validation)
            for name, value in (("val/loss", loss), ("val/accuracy", accuracy)):
                writer.add_scalar(name, value, epoch)
                table.writerow([name, epoch, float(numpy.float32(value))])
        image = predict(weights, numpy.stack(numpy.meshgrid(*[numpy.linspace(-3, 4, 64)] * 2), -1).reshape(-1, 2))
        writer.add_image("boundary", (image.reshape(1, 64, 64) * 255).astype(numpy.uint8), options.epochs)
        writer.add_histogram("weights", weights, options.epochs)


if __name__ == "__main__":
    main()
