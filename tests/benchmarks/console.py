"""The console in a real browser: 20,000 runs with 300 metrics in a table, and 50 curves of a run that trains.

python -m tests.benchmarks console               all of it; the curves are live for ten minutes
python -m tests.benchmarks.console --seconds 60  the same with other sizes
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, expect, sync_playwright

from assay.store import layout
from tests import generated, registry
from tests.cli.stand_in import BEGUN, StandIn, metric, packed
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

NAMESPACE, LIVE, POD = "bench", "live-run", "live-pod"
#: Runs have 300 metrics in all; each has some of them, of which a status has room for 100.
RUNS, METRICS, OF_ONE, ROUNDS = 20_000, 300, 100, 5
CURVES, SECONDS, EVERY = 50, 600.0, 3.0
#: After this, everything that is drawn once has been.
_SETTLED = 60.0
_MB = 1 << 20
#: Counts tasks that keep the page from answering for more than 50 ms.
_LONG_TASKS = """globalThis.longTasks = [];
new PerformanceObserver(found => found.getEntries().forEach(each => longTasks.push(each.duration)))
    .observe({type: "longtask", buffered: true});"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


@dataclass(frozen=True)
class Sizes:
    """How much of everything. ``each``: the metrics of one run."""

    runs: int = RUNS
    each: int = OF_ONE
    seconds: float = SECONDS


async def measure(sizes: Sizes = Sizes()) -> dict[str, float]:
    """Return console_first_paint_ms, console_longest_task_ms, console_groups_s, memory, and what is live."""
    with LocalCluster(f"bench-{os.getpid()}", with_node=False) as cluster:
        registry.install_policies(cluster)
        cluster.create_namespace(NAMESPACE)
        runs = (generated.wide(row, sizes.each, METRICS) for row in generated.rows(sizes.runs))
        await generated.fill(cluster, NAMESPACE, runs)
        return await asyncio.to_thread(_measure, cluster, sizes)


def _measure(cluster: LocalCluster, sizes: Sizes) -> dict[str, float]:
    with _served(cluster) as (process, address), _browser(address) as page:
        figures = _table(page)
        figures["console_server_mb"] = process.memory_info().rss / _MB
        print(figures, file=sys.stderr, flush=True)
        figures |= _live(cluster, page, process, sizes.seconds)
    return figures


@contextmanager
def _served(cluster: LocalCluster) -> Iterator[tuple[psutil.Process, str]]:
    """`assay ui` of the cluster's administrator: its process, and the address that signs a browser in."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), **cluster.store.environment()}
    command = [str(Path(sys.executable).parent / "assay"), "ui", "--no-browser", "-n", NAMESPACE]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            found = re.search(r"http://\S+", process.stderr.readline())
            assert found, "assay ui prints no address"
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield psutil.Process(process.pid), found[0]
        finally:
            process.terminate()


@contextmanager
def _browser(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(300_000)
        page.add_init_script(_LONG_TASKS)
        page.goto(address)
        page.wait_for_url("**/runs")  # the index is complete by then
        yield page
        browser.close()


def _table(page: Page) -> dict[str, float]:
    """Measure what somebody does with the table."""
    here, paints, longest = page.url, [], 0.0
    for _ in range(ROUNDS):
        page.goto(here)
        wait_for("the first paint", lambda: page.evaluate(_PAINT), seconds=60)
        paints.append(page.evaluate(_PAINT))
    for act in (_scroll, _pick, _type, _sort, _turn):
        act(page)
        longest = max([longest, *page.evaluate("longTasks")])
    groups = statistics.median(_timed(lambda: page.goto(f"{here}?group=params.depth")) for _ in range(ROUNDS))
    assert page.locator("#groups tbody tr").count() == 8
    page.goto(here)
    return {
        "console_first_paint_ms": statistics.median(paints),
        "console_longest_task_ms": longest,
        "console_groups_s": groups,
        "console_table_tab_mb": _heap(page),
    }


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _scroll(page: Page) -> None:
    page.locator("#runs").hover()
    for _ in range(10):
        page.mouse.wheel(60, 300)


def _pick(page: Page) -> None:
    page.locator(".picker summary").click()
    page.locator(".picker fieldset").hover()
    for _ in range(10):
        page.mouse.wheel(0, 500)
    page.locator(".picker summary").click()


def _type(page: Page) -> None:
    page.locator("#where").press_sequentially("metrics.layer_001")
    page.locator("#where").fill("metrics.val_f1.best > 0.5 && params.depth >= 4")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**where=*")


def _sort(page: Page) -> None:
    page.locator("#runs thead a", has_text="val_f1").click()
    page.wait_for_url("**sort=*")


def _turn(page: Page) -> None:
    page.get_by_role("link", name="Next").first.click()
    page.wait_for_url("**offset=*")
    for key in "jjjxx":
        page.keyboard.press(key)


def _heap(page: Page) -> float:
    """Return what scripts of the page keep in memory, in MB."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return float(found["JSHeapUsedSize"]) / _MB


def _live(cluster: LocalCluster, page: Page, process: psutil.Process, seconds: float) -> dict[str, float]:
    """Look at 50 curves while points come, and compare the memory after a minute with that at the end."""
    objects = StandIn(cluster, NAMESPACE)
    names = [f"curve_{number:02}" for number in range(CURVES)]
    status = {"phase": "Running", "startTime": BEGUN, "attempts": [{"pod": POD, "phase": "Running"}]}
    run = objects.run(LIVE, {**status, "metrics": {name: metric(0.5) for name in names}})
    stopped, written = threading.Event(), itertools.count(1)

    def train() -> None:
        store, prefix = objects.store, objects.prefix(run)
        while not stopped.wait(EVERY):
            part = next(written)
            steps = range(part * 5, part * 5 + 5)
            points = [(name, step, 1_700_000_000.0 + step, random.random()) for step in steps for name in names]
            store.put_bytes(f"{layout.intake_prefix(prefix, POD)}/{layout.part_path(part)}", packed(points))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        page.set_viewport_size({"width": 1280, "height": 10_000})
        page.goto(f"{page.url.partition('/n/')[0]}/n/{NAMESPACE}/runs/{LIVE}")
        expect(page.locator("figure canvas")).to_have_count(CURVES, timeout=120_000)
        page.wait_for_timeout(1000 * min(_SETTLED, seconds / 2))
        start, server = _state(page), process.memory_info().rss / _MB
        page.wait_for_timeout(1000 * max(0.0, seconds - min(_SETTLED, seconds / 2)))
        end = _state(page)
        assert page.locator("body").get_attribute("data-stream") == "open"
        assert end["points"] > start["points"], "no points have come"
    finally:
        stopped.set()
        thread.join()
    return {
        "console_live_growth_ratio": end["heap"] / start["heap"],
        "console_live_tab_mb": end["heap"],
        "console_live_elements_ratio": end["elements"] / start["elements"],
        "console_live_points": end["points"],
        "console_live_server_growth_mb": process.memory_info().rss / _MB - server,
        "console_live_longest_task_ms": max(page.evaluate("longTasks"), default=0.0),
    }


def _state(page: Page) -> dict[str, float]:
    points: dict[str, Any] = page.evaluate(
        """() => ({elements: document.querySelectorAll("*").length, points:
            [...document.querySelectorAll("figure")].reduce((sum, each) => sum + Number(each.dataset.points), 0)})"""
    )
    return {**points, "heap": _heap(page)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--each", type=int, default=OF_ONE, help="metrics of one run")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Sizes(args.runs, args.each, args.seconds))), indent=1))
