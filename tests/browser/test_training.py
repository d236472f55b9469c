"""What a data scientist sees: the table of runs, and one run while it trains."""

import asyncio
import importlib
import itertools
import math
import re
import threading
from pathlib import Path

import duckdb
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
    """Sixty runs, and three with curves: two seeds of one learning rate, and another rate."""
    thread = threading.Thread(target=asyncio.run, args=[generated.write(team.cluster, team.namespace, ROWS)])
    thread.start()
    thread.join()
    objects = team.objects
    for number, (rate, seed) in enumerate(((0.1, 1), (1.1, 1), (0.1, 2))):
        name = f"curved-{number + 1}"
        metrics = {"loss": metric(0.1), "accuracy": metric(0.9)}
        status = {"phase": "Succeeded", "startTime": BEGUN, "completionTime": BEGUN, "metrics": metrics}
        run = objects.run(
            name,
            {**status, "attempts": [{"pod": f"{name}-x", "phase": "Succeeded"}]},
            parameters={"lr": rate},
            seed=seed,
        )
        count, time = POINTS if number < 2 else 100, 1_700_000_000.0
        points = [("loss", step, time + step, math.exp(-step / 1000) + number) for step in range(count)]
        points += [("accuracy", step, time + step, 1 - math.exp(-step / 10)) for step in range(0, 100, 10)]
        objects.compacted(run, f"{name}-x", points, tmp_path_factory.mktemp(name))
    return team


def test_the_table_is_filtered_sorted_and_shared_by_its_address(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs"))
    expect(page.locator("#rows tr")).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#rows tr")).to_have_count(13)
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
    with page.expect_response(lambda answer: "metric=loss" in answer.url and "low=" in answer.url) as zoomed:
        page.mouse.move(over["x"] + over["width"] * 0.2, over["y"] + 50)
        page.mouse.down()
        page.mouse.move(over["x"] + over["width"] * 0.3, over["y"] + 50, steps=4)
        page.mouse.up()
    (line,) = (each for each in zoomed.value.json()["items"] if each["metric"] == "loss")
    steps = [x for x in line["x"] if x > line["x"][0]]
    assert max(steps) - min(steps) < POINTS * 0.12
    assert min(b - a for a, b in itertools.pairwise(steps)) == 1
    assert "from=" in page.url
    chart.locator("summary").click()
    expect(chart.locator(".numbers tbody tr").first).to_contain_text("curved-1")


def test_the_keyboard_alone_zooms_curves(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs/curved-1"))
    chart, low, high = (page.locator(each) for each in ("figure[data-metric=loss]", "[name=from]", "[name=to]"))
    expect(chart).to_have_attribute("data-points", re.compile("[0-9]+"))
    seen = chart.get_attribute("data-points") or ""
    chart.get_by_role("img").focus()
    page.keyboard.press("+")
    expect(low).to_have_value("1249.75")
    expect(high).to_have_value("3749.25")
    page.keyboard.press("ArrowLeft")
    expect(low).to_have_value("624.875")
    expect(page).to_have_url(re.compile("from=624.875&to=3124.375"))
    page.keyboard.press("Escape")
    expect(low).to_have_value("")
    expect(page).not_to_have_url(re.compile("from="))
    expect(chart).to_have_attribute("data-points", seen)
    low.fill("4990")  # the server adds the point before
    with page.expect_response(lambda answer: "metric=loss" in answer.url and "low=4990" in answer.url):
        low.press("Enter")
    expect(chart).to_have_attribute("data-points", "11")
    page.reload()
    expect(chart).to_have_attribute("data-points", "11")
    page.get_by_role("button", name="Reset zoom").press("Enter")
    expect(chart).to_have_attribute("data-points", seen)


def test_smoothing_is_of_all_points(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs/curved-1?smooth=0.9"))
    chart = page.locator("figure[data-metric=loss]")
    expect(chart.locator(".u-series")).to_have_count(3)


def test_pinned_runs_stay_on_top_and_in_the_curves(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs?where=params.lr > 1.0&column=name&column=metrics.loss"))
    page.keyboard.press("j")
    page.keyboard.press("p")
    expect(page.locator("#pinned tr")).to_have_attribute("data-run", "curved-2")
    page.keyboard.press("/")
    expect(page.locator("#where")).to_be_focused()
    page.locator("#where").fill("params.lr < 1.0")
    page.get_by_role("checkbox", name="Curves").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#pinned tr")).to_have_attribute("data-run", "curved-2")
    chart = page.locator("figure[data-metric=loss]")
    expect(chart.locator(".u-series:not(.raw)")).to_have_count(4)
    expect(page.get_by_role("checkbox", name="Select curved-2")).to_be_checked()
    other = browse("rita")
    other.goto(page.url)
    expect(other.locator("#pinned tr")).to_have_attribute("data-run", "curved-2")
    expect(other.locator("figure[data-metric=loss] .u-legend")).to_contain_text("curved-2")
    page.get_by_role("link", name="Unpin curved-2").click()
    expect(page.locator("#pinned")).to_have_count(0)
    assert "curves=1" in page.url


def test_what_is_seen_is_downloaded_as_parquet(browse: Browse, site: Site, trained: Team, tmp_path: Path) -> None:
    page = browse("dora")
    page.goto(site.page("runs?where=params.lr > 0.0&column=name&column=params.lr&sort=name&pin=curved-2"))
    link = page.get_by_role("link", name="Parquet")
    file = tmp_path / "runs.parquet"
    file.write_bytes(page.request.get(f"{site.address}{link.get_attribute('href')}").body())
    found = duckdb.sql(f"SELECT * FROM '{file}' WHERE name LIKE 'curved%'").fetchall()
    assert found == [("curved-1", 0.1), ("curved-2", 1.1), ("curved-3", 0.1)]


def test_groups_of_curves_have_bands_and_say_how_many_they_are(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("compare?run=curved-1&run=curved-2&run=curved-3"))
    page.locator("#axes select[name=by]").select_option("lr")
    chart = page.locator("figure[data-metric=loss]")
    expect(chart.locator(".u-legend")).to_contain_text("0.1 (n=2)")
    expect(chart.locator(".u-legend")).to_contain_text("1.1 (n=1)")
    page.locator("#axes select[name=band]").select_option("std")
    expect(page).to_have_url(re.compile("by=lr.*band=std|band=std.*by=lr"))
    chart.locator("summary").click()
    expect(chart.locator(".numbers thead")).to_have_text("groupsteplosslowhighn")
    expect(chart.locator(".numbers tbody tr").first).to_contain_text("0.1")
    page.reload()
    expect(chart.locator(".u-legend")).to_contain_text("0.1 (n=2)")


def test_a_second_metric_has_an_axis_of_its_own(browse: Browse, site: Site, trained: Team) -> None:
    page = browse("dora")
    page.goto(site.page("compare?run=curved-1&run=curved-2&right=accuracy"))
    chart = page.locator("figure[data-metric=loss]")
    expect(chart.locator(".u-legend")).to_contain_text("curved-1 accuracy")
    expect(chart.locator(".u-axis")).to_have_count(3)
    expect(page.locator("figure[data-metric=accuracy] .u-axis")).to_have_count(2)
    chart.locator("summary").click()
    expect(chart.locator(".numbers thead")).to_have_text("runmetricstepvalue")


def test_a_scatter_plot_has_log_axes_and_a_comparison_says_what_matters(
    browse: Browse, site: Site, trained: Team
) -> None:
    importlib.import_module("optuna.importance")  # slow where scikit-learn is; the server is this process
    page = browse("dora")
    runs = "&".join(f"run={row.name}" for row in ROWS[:12])
    page.goto(site.page(f"compare?{runs}&explain=val_f1&best=highest"))
    expect(page.locator("#importance tbody tr").first).to_contain_text("%")
    expect(page.locator("#importance caption")).to_contain_text("the highest values of val_f1")
    dots = page.locator("#scatter circle")
    expect(dots).to_have_count(12)
    page.locator("#scatter-axes select[name=x]").select_option("params.learning_rate")
    box = page.get_by_role("checkbox", name="Logarithmic x")
    logarithmic = box.is_checked()
    before = dots.evaluate_all("dots => dots.map(dot => dot.getAttribute('cx'))")
    box.set_checked(not logarithmic)
    assert dots.evaluate_all("dots => dots.map(dot => dot.getAttribute('cx'))") != before
    assert f"log-x={0 if logarithmic else 1}" in page.url
    page.reload()
    expect(box).to_be_checked(checked=not logarithmic)
