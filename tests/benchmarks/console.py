"""The console in a real browser: 20,000 runs with 300 metrics in a table, and 50 curves of a run that trains.

python -m tests.benchmarks console               all of it; the curves are live for ten minutes
python -m tests.benchmarks.console --seconds 60  the same with other sizes; 0 leaves the table or the curves out

`python -m assay.server` runs in front of a stand-in for the API server (``api_server``) and a real store.
"""

import argparse
import asyncio
import itertools
import json
import random
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from assay.store import layout
from tests import generated, s3
from tests.benchmarks import api_server
from tests.benchmarks.server import PERSON, Server, running_store, write_keys
from tests.cli.stand_in import packed
from tests.cluster.waiting import wait_for

#: Runs have 300 metrics in all; each has some of them, of which a status has room for 100.
RUNS, METRICS, OF_ONE, ROUNDS = 20_000, 300, 100, 5
CURVES, SECONDS, EVERY, FEW = 50, 600.0, 3.0, 200
#: After this, everything that is drawn once has been.
_SETTLED = 60.0
_MB = 1 << 20
#: Tells of tasks that keep the page from answering for more than 50 ms.
_LONG_TASKS = """new PerformanceObserver(found => found.getEntries().forEach(each => longTask(each.duration)))
    .observe({type: "longtask", buffered: true});"""
_STATE = """() => ({
    elements: document.querySelectorAll("*").length,
    points: [...document.querySelectorAll("[data-points]")].reduce((sum, {dataset}) => sum + Number(dataset.points), 0),
})"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


@dataclass(frozen=True)
class Sizes:
    """How much of everything, 0 for none of it. ``each``: the metrics of one run."""

    runs: int = RUNS
    each: int = OF_ONE
    seconds: float = SECONDS


@dataclass
class Tab:
    """A page, and the duration of each of its long tasks in milliseconds."""

    page: Page
    tasks: list[float] = field(default_factory=list)

    def longest(self) -> float:
        """Return the longest task since the last time, 0 if there was no long one."""
        self.page.wait_for_timeout(200)  # a task is told of after it has ended
        found = max(self.tasks, default=0.0)
        self.tasks.clear()
        return found

    def heap(self) -> float:
        """Return what scripts of the page keep in memory, in MB."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        return float(found["JSHeapUsedSize"]) / _MB


async def measure(sizes: Sizes = Sizes()) -> dict[str, float]:
    """Return console_first_paint_ms, console_longest_task_ms, console_groups_s, memory, and what is live."""
    return await asyncio.to_thread(_measure, sizes)


def _measure(sizes: Sizes) -> dict[str, float]:
    with running_store() as (store, folder):
        write_keys(store, folder)
        figures: dict[str, float] = {}
        if sizes.runs:
            with Server(sizes.runs, folder, (sizes.each, METRICS)) as server, _browser() as tab:
                figures = _table(tab, server)
            print(figures, file=sys.stderr, flush=True)
        if sizes.seconds:
            with Server(FEW, folder, (CURVES, METRICS)) as server, _browser() as tab:
                figures |= _live(tab, server, store, sizes.seconds)
        return figures


@contextmanager
def _browser() -> Iterator[Tab]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        page = browser.new_context(viewport={"width": 1280, "height": 900}, extra_http_headers=PERSON).new_page()
        page.set_default_timeout(60_000)
        tab = Tab(page)
        page.expose_function("longTask", lambda milliseconds: tab.tasks.append(milliseconds))
        page.add_init_script(_LONG_TASKS)
        yield tab
        browser.close()


def _table(tab: Tab, server: Server) -> dict[str, float]:
    """Measure what somebody does with the table."""
    page, here, paints, longest = tab.page, f"{server.address}/n/{api_server.NAMESPACE}/runs", [], 0.0
    page.goto(here)
    for _ in range(ROUNDS):
        page.goto(here)
        wait_for("the first paint", lambda: page.evaluate(_PAINT), seconds=60)
        paints.append(page.evaluate(_PAINT))
    first, tasks = tab.heap(), {"load": tab.longest()}
    for act in (_scroll, _pick, _type, _sort, _turn):
        act(page)
        tasks[act.__name__] = tab.longest()
    print({"longest tasks, ms": tasks}, file=sys.stderr, flush=True)
    last = tab.heap()
    groups = statistics.median(_timed(lambda: page.goto(f"{here}?group=params.depth")) for _ in range(ROUNDS))
    assert page.locator("#groups tbody tr").count() == 8
    longest = max([*tasks.values(), tab.longest()])
    page.goto(f"{server.address}/runs")
    wait_for("the first paint", lambda: page.evaluate(_PAINT), seconds=60)
    return {
        "console_first_paint_ms": statistics.median(paints),
        "console_first_paint_everywhere_ms": page.evaluate(_PAINT),
        "console_longest_task_ms": longest,
        "console_groups_s": groups,
        "console_table_tab_first_mb": first,
        "console_table_tab_last_mb": last,
        "console_server_mb": server.megabytes(),
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
    """Look through all columns, and add 30 of them."""
    page.locator(".picker summary").click()
    page.locator(".picker fieldset").hover()
    for _ in range(10):
        page.mouse.wheel(0, 500)
    for box in page.locator(".picker [name=column][value^=metrics]").all()[:30]:
        box.check()
    page.locator(".picker [name=column][value=name]").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**column=*")
    assert page.locator("#runs thead th").count() == 32


def _type(page: Page) -> None:
    page.locator("#where").press_sequentially("metrics.layer_001")
    page.locator("#where").fill("metrics.val_f1.best > 0.5 && params.depth >= 4")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**where=*")


def _sort(page: Page) -> None:
    page.locator("#runs thead a", has_text="val_f1").click()
    page.wait_for_url("**sort=*")


def _turn(page: Page) -> None:
    """Turn ten pages, and walk through the last one."""
    for number in range(1, 11):
        page.get_by_role("link", name="Next").first.click()
        page.wait_for_url(f"**offset={50 * number}*")
    for key in "jjjxx":
        page.keyboard.press(key)


def _live(tab: Tab, server: Server, store: s3.S3Server, seconds: float) -> dict[str, float]:
    """Look at 50 curves while points come, and compare the memory after a minute with that at the end."""
    row = next(each for each in generated.rows(FEW) if each.phase == "Running")
    names = sorted(generated.wide(row, CURVES, METRICS).metrics)
    prefix, objects = layout.intake_prefix(layout.prefix_of(api_server.manifest(row)), f"{row.name}-pod"), store.store()
    stopped, written = threading.Event(), itertools.count(1)

    def train() -> None:
        while not stopped.wait(EVERY):
            part = next(written)
            steps = range(part * 5, part * 5 + 5)
            points = [(name, step, 1_700_000_000.0 + step, random.random()) for step in steps for name in names]
            objects.put_bytes(f"{prefix}/{layout.part_path(part)}", packed(points))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        return _watched(tab, server, row.name, seconds)
    finally:
        stopped.set()
        thread.join()


def _watched(tab: Tab, server: Server, run: str, seconds: float) -> dict[str, float]:
    page, settled = tab.page, min(_SETTLED, seconds / 2)
    page.set_viewport_size({"width": 1280, "height": 10_000})
    page.goto(f"{server.address}/n/{api_server.NAMESPACE}/runs/{run}")
    expect(page.locator("figure canvas")).to_have_count(CURVES, timeout=120_000)
    page.wait_for_timeout(1000 * settled)
    start, drawing, memory = _state(tab), tab.longest(), server.megabytes()
    page.wait_for_timeout(1000 * (seconds - settled))
    end, adding = _state(tab), tab.longest()
    assert page.locator("body").get_attribute("data-stream") == "open"
    assert end["points"] > start["points"], "no points have come"
    return {
        "console_live_growth_ratio": end["heap"] / start["heap"],
        "console_live_tab_first_mb": start["heap"],
        "console_live_tab_last_mb": end["heap"],
        "console_live_elements_ratio": end["elements"] / start["elements"],
        "console_live_points": end["points"],
        "console_live_server_growth_mb": server.megabytes() - memory,
        "console_live_longest_task_first_minute_ms": drawing,
        "console_live_longest_task_ms": adding,
    }


def _state(tab: Tab) -> dict[str, float]:
    points: dict[str, Any] = tab.page.evaluate(_STATE)
    return {**points, "heap": tab.heap()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--each", type=int, default=OF_ONE, help="metrics of one run")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Sizes(args.runs, args.each, args.seconds))), indent=1))
