"""What a data scientist sees: the table of runs, and one run while it trains."""

import asyncio
import itertools
import math
import re
import threading

import pytest
from playwright.sync_api import expect

from tests import generated
from tests.browser.conftest import Browse, Site
from tests.cli.stand_in import BEGUN, metric
from tests.server.conftest import Team

pytestmark = [pytest.mark.integration, pytest.mark.browser]

ROWS = [row for row in generated.rows(80, seed=1) if row.phase in ("Succeeded", "Failed")][:60]
POINTS = 5000


@pytest.fixture(scope="module")
def trained(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Sixty runs, and two with curves."""
    thread = threading.Thread(target=asyncio.run, args=[generated.write(team.cluster, team.namespace, ROWS)])
    thread.start()
    thread.join()
    objects = team.objects
    for number, name in enumerate(("curved-1", "curved-2")):
        status = {"phase": "Succeeded", "startTime": BEGUN, "completionTime": BEGUN, "metrics": {"loss": metric(0.1)}}
        run = objects.run(
            name, {**status, "attempts": [{"pod": f"{name}-x", "phase": "Succeeded"}]}, parameters={"lr": 0.1 + number}
        )
        points = [("loss", step, 1_700_000_000.0 + step, math.exp(-step / 1000) + number) for step in range(POINTS)]
        objects.compacted(run, f"{name}-x", points, tmp_path_factory.mktemp(name))
    return team


def test_the_table_is_filtered_sorted_and_shared_by_its_address(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs"))
    expect(page.locator("#rows tr")).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#rows tr")).to_have_count(12)
    page.locator("#where").fill("params.depth >= 4")
    page.get_by_role("button", name="Apply").click()
    wanted = sum(row.parameters["depth"] >= 4 for row in ROWS)
    expect(page.locator("#rows tr")).to_have_count(wanted)
    page.get_by_role("link", name="val_f1").click()
    expect(page.get_by_role("columnheader", name="val_f1")).to_have_attribute("aria-sort", "ascending")
    names = page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.run)")
    other = browse("rita")
    other.goto(page.url)
    assert other.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.run)") == names


def test_columns_are_remembered(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs"))
    page.locator(".picker summary").click()
    for name in ("name", "owner", "params.depth"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#runs thead th")).to_have_count(4)
    page.goto(site.page("runs"))
    expect(page.locator("#runs thead th")).to_have_count(4)
    assert "column=params.depth" in page.url


def test_a_run_shows_its_curve_and_asks_for_more_points_when_zoomed(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs/curved-1"))
    chart = page.locator("figure[data-metric=loss]")
    expect(chart).to_have_attribute("data-points", re.compile("[0-9]+"))
    expect(chart.locator("canvas")).to_be_visible()
    assert int(chart.get_attribute("data-points") or 0) < POINTS
    over = chart.locator(".u-over").bounding_box()
    assert over
    with page.expect_response(lambda answer: "low=" in answer.url) as zoomed:
        page.mouse.move(over["x"] + over["width"] * 0.2, over["y"] + 50)
        page.mouse.down()
        page.mouse.move(over["x"] + over["width"] * 0.3, over["y"] + 50, steps=4)
        page.mouse.up()
    (line,) = zoomed.value.json()["items"]
    steps = [x for x in line["x"] if x > line["x"][0]]
    assert max(steps) - min(steps) < POINTS * 0.12
    assert min(b - a for a, b in itertools.pairwise(steps)) == 1
    assert "from=" in page.url
    chart.locator("summary").click()
    expect(chart.locator(".numbers tbody tr").first).to_contain_text("curved-1")


def test_smoothing_is_of_all_points(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs/curved-1?smooth=0.9"))
    chart = page.locator("figure[data-metric=loss]")
    expect(chart.locator(".u-series")).to_have_count(3)
