"""The runs of all namespaces, for two people: one may list them in the whole cluster, one in a single namespace."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests import registry
from tests.browser import accessibility
from tests.browser.conftest import Browse
from tests.cli.stand_in import BEGUN, StandIn, metric
from tests.server.conftest import Team
from tests.serving import index_served, indexed

pytestmark = [pytest.mark.integration, pytest.mark.browser]


@pytest.fixture(scope="module")
def other(team: Team) -> Iterator[StandIn]:
    """A second namespace, in which only Carla may list runs, as in the whole cluster."""
    namespace = f"{team.namespace}-other"
    team.cluster.create_namespace(namespace)
    found = StandIn(team.cluster, namespace)
    ended = {"phase": "Succeeded", "startTime": BEGUN, "completionTime": BEGUN}
    for objects, name, loss in ((team.objects, "mine", 0.3), (team.objects, "both", 0.1), (found, "both", 0.2)):
        objects.run(name, {**ended, "metrics": {"loss": metric(loss)}}, parameters={"depth": 3}, owner="dora")
    found.create(registry.run("hidden", parameters={"depth": 4}))
    team.add_reader_of_all("carla")
    yield found
    team.cluster.delete_namespace(namespace)


@pytest.fixture(scope="module")
def address(team: Team, other: StandIn) -> Iterator[str]:
    """The address of a server with the index of the cluster."""
    with indexed(team.cluster) as feed, index_served(team.cluster, feed) as address:
        yield address


def test_the_runs_of_all_namespaces_are_one_table(browse: Browse, address: str, team: Team, other: StandIn) -> None:
    page = browse("carla")
    page.goto(address)  # the table of a namespace in which Carla may list, like every other
    page.get_by_role("link", name="All namespaces").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs in all namespaces")
    expect(page.locator("#notes p")).to_have_count(0)
    page.locator("#where").fill("params.depth == 3 && owner == 'dora'")
    page.get_by_role("button", name="Apply").click()
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="loss", exact=True).click()
    expect(page.get_by_role("columnheader", name="loss")).to_have_attribute("aria-sort", "ascending")
    texts = "rows => rows.map(row => [...row.cells].slice(0, 2).map(cell => cell.textContent).join('/'))"
    found = [f"{team.namespace}/both", f"{other.namespace}/both", f"{team.namespace}/mine"]
    assert rows.evaluate_all(texts) == found
    expect(page.get_by_role("button", name="Compare selected")).to_have_count(0)

    dora = browse("dora")
    dora.goto(page.url)
    expect(dora.locator("#notes")).to_contain_text(f"only namespaces in which you may list runs: {team.namespace}")
    assert dora.locator("#rows tr").evaluate_all(texts) == [found[0], found[2]]
    assert other.namespace not in dora.content()
    dora.keyboard.press("j")
    dora.keyboard.press("Enter")
    expect(dora.get_by_role("heading", level=1)).to_have_text("both")
    assert urlsplit(dora.url).path == f"/n/{team.namespace}/runs/both"

    rows.nth(1).get_by_role("link", name=other.namespace).click()
    expect(page.locator("#rows tr")).to_have_count(2)
    assert urlsplit(page.url).path == f"/n/{other.namespace}/runs"


def test_the_page_is_accessible_and_fits(browse: Browse, address: str, other: StandIn) -> None:
    page = browse("carla", bypass_csp=True)
    page.goto(f"{address}/runs")
    assert not accessibility.problems(page, "runs of all namespaces")


def test_the_table_is_downloaded_with_the_namespace(browse: Browse, address: str, team: Team, other: StandIn) -> None:
    page = browse("dora")
    page.goto(f"{address}/runs?sort=name&column=name&where=has(params.depth)")
    link = page.get_by_role("link", name="CSV")
    lines = page.request.get(f"{address}{link.get_attribute('href')}").text().splitlines()
    assert lines == ["namespace,name", f"{team.namespace},both", f"{team.namespace},mine"]


def test_nobody_is_told_which_right_is_missing(browse: Browse, address: str, other: StandIn) -> None:
    page = browse("nobody")
    page.goto(f"{address}/runs")
    expect(page.get_by_role("alert")).to_contain_text('cannot list resource "runs"')
    expect(page.locator("table")).to_have_count(0)
