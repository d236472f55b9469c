"""What auditors see: what was live when, and a trail that is verified on the spot, before and after it was changed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from assay.store.audit import Action, AuditEvent, AuditObject, AuditTrail
from assay.store.audit.sources import key
from tests import registry
from tests.browser.conftest import Browse, Site
from tests.cli.stand_in import BEGUN
from tests.server.conftest import Team

pytestmark = [pytest.mark.integration, pytest.mark.browser]


@pytest.fixture(scope="module")
def audited(team: Team) -> Team:
    """A model whose first version was live as champion, and whose second one is; the records say so."""
    objects = team.objects
    trail = AuditTrail(objects.store, team.namespace)
    for hour, version in ((10, 1), (12, 2)):
        objects.create(registry.model_version("kept", version, namespace=team.namespace), {"phase": "Ready"})
        after = {"version": version, "digest": registry.digest()}
        thing = AuditObject(kind="ModelAlias", namespace=team.namespace, name="kept.champion")
        time = f"2026-03-14T{hour}:00:00Z"
        trail.append(
            AuditEvent(
                event=f"e{hour}", time=time, actor="walter", action=Action.ALIAS_BOUND, object=thing, after=after,
                reason=f"because of v{version}",
            )
        )  # fmt: skip
    objects.create(registry.model_alias("kept", "champion", 2), {"phase": "Bound", "boundVersion": 2})
    return team


def test_a_model_shows_what_was_live_when(browse: Browse, site: Site, audited: Team) -> None:
    page = browse("rita")
    page.goto(site.page("models"))
    page.get_by_role("link", name="kept", exact=True).click()
    rows = page.locator("#history tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("v2")
    expect(rows.nth(0)).to_contain_text("now")
    expect(rows.nth(1)).to_contain_text("2026-03-14T12:00:00")
    expect(rows.nth(1)).to_contain_text("because of v1")
    page.get_by_role("link", name="v1", exact=True).click()
    expect(page.locator("#state")).to_contain_text("Not live.")


def test_the_trail_is_verified_on_the_spot(browse: Browse, site: Site, audited: Team) -> None:
    page = browse("rita")
    page.goto(site.page("audit"))
    expect(page.locator("#records tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Verify the whole trail").click()
    expect(page.locator("#report")).to_contain_text("No fault was found in 2 records")
    first = key(audited.namespace, 1)
    record = json.loads(audited.objects.store.get_bytes(first, 1 << 20))
    audited.objects.store.put_bytes(first, json.dumps({**record, "actor": "somebody"}).encode())
    page.get_by_role("button", name="Verify the whole trail").click()
    expect(page.locator("#report")).to_contain_text("The trail is not intact.")
    expect(page.locator("#report li").first).to_be_visible()


def test_an_experiment_estimates_its_end(browse: Browse, site: Site, team: Team) -> None:
    now = datetime.now(UTC)
    ended = {"startTime": BEGUN, "completionTime": "2026-03-01T12:10:00Z", "phase": "Succeeded"}
    begun = (now - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    team.objects.create(
        registry.experiment("estimated"),
        {"phase": "Running", "startTime": begun, "runs": {"total": 3, "succeeded": 1, "running": 1}},
    )
    team.objects.run("estimated-1", ended, experiment="estimated")
    team.objects.run("estimated-2", {"phase": "Running", "startTime": begun}, experiment="estimated")
    page = browse("dora")
    page.goto(site.page("experiments/estimated"))
    # Nine minutes for the second run, then ten for the one that waits.
    expect(page.locator("#state")).to_contain_text("about 1")
    expect(page.locator("#state")).to_contain_text("left")
    page.goto(site.page("experiments"))
    expect(page.locator("#experiments")).to_contain_text("1/3")
