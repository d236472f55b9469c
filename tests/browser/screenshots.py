"""Takes the pictures of the documentation: `python -m tests.browser.screenshots [--name CLUSTER]`.

The data are made up: an experiment with ten runs, two of which train, and a model whose second version waits for an
approval. The cluster is a detached one, which stays up.
"""

import argparse
import math
import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.local import LocalEntrance
from assay.store import system
from tests import registry
from tests.cli.stand_in import Point, StandIn
from tests.cluster import paths
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

IMAGES = paths.CHECKOUT / "docs" / "images"
NAMESPACE, STEPS = "vision", 400
_COLOURS, _SAMPLES = 200, 60
_DAY = "2026-03-02T09:00:00Z"
#: File: page, colour scheme, width and height of the window, what has to be on the page.
SHOTS: dict[str, tuple[str, str, int, int, str]] = {
    "runs.png": (
        "runs?experiment=digits&sort=val_accuracy&pin=digits-4&curves=1&smooth=0.9",
        "light",
        1280,
        980,
        "figure canvas",
    ),
    "run.png": ("runs/digits-4", "light", 1280, 1000, "figure canvas"),
    "run-dark.png": ("runs/digits-4", "dark", 1280, 1000, "#usage canvas"),
    "compare.png": (
        "compare?{all}&smooth=0.9&by=depth&band=std&explain=val_accuracy",
        "light",
        1280,
        1450,
        "figure canvas",
    ),
    "alias.png": ("models/digits/aliases/champion", "light", 1280, 1500, "form#approve"),
    "runs-narrow.png": ("runs?experiment=digits", "light", 390, 700, "#rows tr"),
    "run-narrow-dark.png": ("runs/digits-4", "dark", 390, 1300, "figure canvas"),
}


def main(argv: list[str] | None = None) -> int:
    """Write every picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description="Take the pictures.")
    parser.add_argument("--name", default="assay", help="the cluster's name (default: assay)")
    cluster = LocalCluster(parser.parse_args(argv).name)
    if not cluster.running():
        cluster.start(detached=True)
    os.environ.update(cluster.store.environment())  # `assay ui` reads the store's keys from its environment
    namespace = f"{NAMESPACE}-{secrets.token_hex(2)}"
    cluster.create_namespace(namespace)
    try:
        _fill(StandIn(cluster, namespace))
        with _served(cluster, namespace) as address:
            _take(address, namespace)
    finally:
        cluster.delete_namespace(namespace)
    return 0


def _fill(objects: StandIn) -> None:
    """Make the objects of a team."""
    chance, now = random.Random(4), datetime.now(UTC)
    objective = {"metric": "val_accuracy", "direction": "maximize"}
    objects.create(registry.experiment("digits", objective=objective))
    for number in range(10):
        rate, depth = 10 ** -(1 + number % 5 / 2), 2 + number % 3
        parameters = {"learning_rate": round(rate, 4), "depth": depth, "seed": number // 5}
        points = _points(chance, rate, depth, STEPS if number < 8 else STEPS // 3, now)
        start = now - timedelta(minutes=50 - number)
        status: dict[str, Any] = {
            "phase": "Succeeded" if number < 8 else "Running",
            "startTime": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "metrics": _summaries(points),
            "attempts": [{"pod": f"digits-{number}-x", "phase": "Running"}],
            "usage": {"samples": _SAMPLES, "cpuSeconds": 810.5, "maxMemoryBytes": 1_610_612_736},
        }
        if number < 8:
            status["completionTime"] = f"{start + timedelta(seconds=900 + number):%Y-%m-%dT%H:%M:%SZ}"
        run = objects.run(
            f"digits-{number}", status, experiment="digits", parameters=parameters, objective=objective, owner="dora"
        )
        with tempfile.TemporaryDirectory() as scratch:
            objects.compacted(run, f"digits-{number}-x", points, Path(scratch))
        system.append(objects.store, objects.prefix(run), f"digits-{number}-x", None, _samples(chance, start))
    _registry(objects)


def _points(chance: random.Random, rate: float, depth: int, steps: int, now: datetime) -> list[Point]:
    found: list[Point] = []
    for step in range(steps):
        progress = 1 - math.exp(-step * (0.004 + rate / 8))
        noise = chance.gauss(0, 0.02 * (1 - progress / 2))
        time = now.timestamp() - 3000 + step
        found.append(("val_accuracy", step, time, min(0.995, 0.5 + (0.36 + depth / 40) * progress + noise / 3)))
        found.append(("loss", step, time, 2.2 * (1 - progress * 0.95) + abs(noise)))
    return found


def _samples(chance: random.Random, start: datetime) -> list[dict[str, Any]]:
    """Return what the operator samples of a pod."""
    return [
        {"container": "train", "metric": f"system.{name}", "time": start.timestamp() + 15 * number, "value": value}
        for number in range(_SAMPLES)
        for name, value in (
            ("cpu_cores", 0.9 + chance.gauss(0, 0.04)),
            ("memory_bytes", 2.0**30 * (0.8 + 0.7 * (1 - math.exp(-number / 9))) + chance.gauss(0, 1e7)),
        )
    ]


def _summaries(points: list[Point]) -> dict[str, Any]:
    found = {}
    for name in ("val_accuracy", "loss"):
        values = [round(value, 4) for metric, _, _, value in points if metric == name]
        last = len(values) - 1
        found[name] = {"last": values[-1], "min": min(values), "max": max(values), "step": last, "count": last + 1}
    found["val_accuracy"]["best"] = found["val_accuracy"]["max"]
    return found


def _registry(objects: StandIn) -> None:
    digests = {1: f"sha256:{secrets.token_hex(32)}", 2: f"sha256:{secrets.token_hex(32)}"}
    for number, accuracy in ((1, 0.9312), (2, 0.9624)):
        summary = {"last": accuracy, "min": 0.5, "max": accuracy, "best": accuracy, "step": 399, "count": 400}
        provenance = {"metrics": {"val_accuracy": summary}, "parameters": {"learning_rate": 0.1 / number, "depth": 3}}
        artifact = {
            "uri": f"s3://assay/runs/{objects.namespace}/_/r/u/pods/p/artifacts/model/",
            "digest": digests[number],
        }
        body = registry.model_version("digits", number, namespace=objects.namespace, artifact=artifact)
        copy = {"uri": f"s3://assay/models/{objects.namespace}/digits/v{number}/", "digest": digests[number]}
        facts = {"status": "True", "reason": "Verified", "message": "", "lastTransitionTime": _DAY}
        status = {"phase": "Ready", "artifact": copy, "registered": _DAY, "provenance": provenance}
        conditions = [{"type": kind, **facts} for kind in ("Signed", "Reproducible")]
        objects.create(body, {**status, "conditions": conditions})
    better = "candidate.metrics.val_accuracy.best >= current.metrics.val_accuracy.best"
    policy = {
        "apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": {"name": "production"},
        "spec": {
            "match": {"models": ["digits"], "aliases": ["champion"]},
            "approvals": {"required": 2},
            "gates": [{"name": "better", "expression": better}],
        },
    }  # fmt: skip
    objects.create(policy)
    history = [{"version": 1, "digest": digests[1], "from": _DAY, "actor": "walter"}]
    bound = {"phase": "Held", "boundVersion": 1, "boundDigest": digests[1], "boundAt": _DAY, "history": history}
    objects.create(registry.model_alias("digits", "champion", 2), bound)


@contextmanager
def _served(cluster: LocalCluster, namespace: str) -> Iterator[str]:
    """`assay ui` of the cluster's administrator; yields the address that signs a browser in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        entrance = LocalEntrance(Kube(str(cluster.kubeconfig)), namespace, port)
        server = uvicorn.Server(uvicorn.Config(create(Parts(entrance)), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for("the server starts", lambda: server.started, seconds=30)
        yield f"http://127.0.0.1:{port}{entrance.path}"
        server.should_exit = True
        thread.join(30)


def _take(address: str, namespace: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    every = "&".join(f"run=digits-{number}" for number in range(8))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        page.wait_for_url("**/runs")
        for name, (path, scheme, width, height, wanted) in SHOTS.items():
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": height})
            page.goto(f"{address.partition('/enter')[0]}/n/{namespace}/{path.format(all=every)}")
            expect(page.locator(wanted).first).to_be_visible(timeout=30_000)
            page.wait_for_load_state("networkidle")
            target = IMAGES / name
            page.screenshot(path=target)
            with Image.open(target) as picture:
                picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
            print(f"{target.relative_to(paths.CHECKOUT)} {target.stat().st_size // 1024} kB")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
