"""What people see and do in a browser: approvals by three people, a run that attacks, live updates, accessibility."""

import base64
import importlib
import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests import registry
from tests.browser import accessibility
from tests.browser.conftest import Browse, Site
from tests.cli.stand_in import BEGUN, metric
from tests.cluster.waiting import wait_for
from tests.server.conftest import Team

pytestmark = [pytest.mark.integration, pytest.mark.browser]

HOSTILE = "</script></pre><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ALIAS = "models/digits/aliases/champion"
SHOW = "runs/bad/show/intake/p/artifacts"
PAGES = (
    "runs", "runs?group=phase", "runs/bad", "compare?run=bad&run=good&run=going", "models", "models/digits",
    "models/digits/versions/2", f"{ALIAS}?version=2", "experiments", "experiments/sweep", "audit?verify=1", "nothing",
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(team: Team) -> Team:
    """Runs, one of which attacks and one of which trains; a model with two versions and an alias."""
    objects = team.objects
    ended = {
        "phase": "Succeeded", "startTime": BEGUN, "completionTime": BEGUN,
        "attempts": [{"pod": "p", "phase": "Failed"}],
        "metrics": {"loss": metric(0.1), HOSTILE[:60]: metric(0.5)},
    }  # fmt: skip
    failed = {**ended, "phase": "Failed", "message": HOSTILE, "reason": "Error"}
    bad = objects.run("bad", failed, parameters={"n": HOSTILE, "lr": 0.1})
    objects.streamed(bad, "p", [[("loss", step, 1_700_000_000.0 + step, 1 / (step + 1)) for step in range(100)]])
    for name, text in {
        "x.svg": f"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(3)'>{HOSTILE}</svg>",
        "x.html": f"<!doctype html>{HOSTILE}",
        "fake.png": HOSTILE,
        "note.txt": HOSTILE,
        "table.csv": f"name,score\n{HOSTILE},1\n",
        "confusion.json": json.dumps({"labels": [HOSTILE, "b"], "confusion_matrix": [[9, 1], [0, 4]]}),
    }.items():
        objects.store.put_bytes(f"{objects.prefix(bad)}/intake/p/artifacts/{name}", text.encode())
    objects.store.put_bytes(f"{objects.prefix(bad)}/intake/p/artifacts/real.png", PIXEL)
    objects.run("good", ended, parameters={"n": "fine", "lr": 0.01})
    running = {**ended, "phase": "Running", "completionTime": None, "metrics": {"loss": metric(0.3)}}
    going = objects.run("going", running, parameters={"n": "fine", "lr": 0.5})
    objects.streamed(going, "p", [[("loss", 0, 1_700_000_000.0, 1.0), ("loss", 1, 1_700_000_001.0, 0.5)]])
    for number in (1, 2):
        copy = {"uri": f"s3://assay/models/{team.namespace}/digits/v{number}/", "digest": registry.digest()}
        ready = {"phase": "Ready", "artifact": copy, "registered": BEGUN}
        objects.create(registry.model_version("digits", number, namespace=team.namespace), ready)
    objects.create(registry.model_alias("digits", "champion", 1), {"phase": "Pending"})
    objects.create(registry.model_alias("digits", "staging", 1), {"phase": "Pending"})
    objective = {"metric": "loss", "direction": "minimize"}
    objects.create(registry.experiment("sweep", objective=objective))
    for number in range(8):
        swept = {"phase": "Succeeded", "metrics": {"loss": metric(number / 7)}}
        objects.run(f"swept-{number}", swept, experiment="sweep", parameters={"lr": number / 7}, objective=objective)
    importlib.import_module("optuna.importance")  # slow where scikit-learn is; the server is this process
    return team


def decide(page: Page, verb: str, confirm: str, reason: str = "") -> None:
    """Fill in a form, look at what the API server would do, and confirm."""
    page.locator(f"form#{verb} input[name=comment]").fill(reason)
    page.locator(f"form#{verb} button").click()
    expect(page.get_by_text("dry run; nothing was written")).to_be_visible()
    page.get_by_role("button", name=confirm).click()


def test_three_people_approve_promote_and_roll_back(browse: Browse, site: Site, filled: Team) -> None:
    rita = browse("rita")
    rita.goto(site.page(f"{ALIAS}?version=2"))
    decide(rita, "approve", f"Yes, approve as {filled.user('rita')}", "looks right")
    expect(rita.get_by_text("The approval was written.")).to_be_visible()
    expect(rita.locator("#approvals")).to_contain_text("looks right")

    walter = browse("walter")
    walter.goto(site.page(f"{ALIAS}?version=2"))
    decide(walter, "promote", f"Yes, promote as {filled.user('walter')}")
    expect(walter.get_by_text("The version was requested.")).to_be_visible()

    digest = registry.digest()
    history = [{"version": number, "digest": digest, "from": f"2026-03-0{number}T12:00:00Z"} for number in (1, 2)]
    filled.objects.set_status(
        "modelalias", "digits.champion",
        {"phase": "Bound", "boundVersion": 2, "boundDigest": digest, "previousVersion": 1, "history": history},
    )  # fmt: skip
    walter.goto(site.page(f"{ALIAS}?version=1"))
    decide(walter, "rollback", f"Yes, roll back as {filled.user('walter')}", "it broke")
    expect(walter.get_by_text("The rollback was requested.")).to_be_visible()
    text = filled.objects.kubectl("get", "modelalias", "digits.champion", "-o", "yaml")
    assert f"1 {filled.user('walter')}" in text

    dora = browse("dora")
    dora.goto(site.page(ALIAS))
    expect(dora.get_by_text("may not approve")).to_be_visible()
    assert dora.locator("form[method=post]").count() == 0


def test_a_version_that_changes_before_the_click_is_shown_again(browse: Browse, site: Site, filled: Team) -> None:
    rita = browse("rita")
    rita.goto(site.page(f"{ALIAS}?version=1"))
    rita.locator("form#approve button").click()
    filled.objects.set_status("modelversion", "digits.v1", {"phase": "Failed"})
    rita.get_by_role("button", name="Yes, approve").click()
    expect(rita.locator("#changed")).to_contain_text("phase: Ready → Failed")


def test_a_promotion_is_refused_once_others_have_approved_and_moved(browse: Browse, site: Site, filled: Team) -> None:
    walter, rita = browse("walter"), browse("rita")
    walter.goto(site.page("models/digits/aliases/staging?version=2"))
    walter.locator("form#promote button").click()
    expect(walter.get_by_text("dry run; nothing was written")).to_be_visible()
    rita.goto(site.page("models/digits/aliases/staging?version=2"))
    decide(rita, "approve", f"Yes, approve as {filled.user('rita')}")
    expect(rita.get_by_text("The approval was written.")).to_be_visible()
    filled.objects.set_status("modelalias", "digits.staging", {"phase": "Bound", "boundVersion": 1})
    walter.get_by_role("button", name="Yes, promote").click()
    changed = walter.locator("#changed")
    expect(changed).to_contain_text(f"none → {filled.user('rita')} (valid)")
    expect(changed).to_contain_text("live version: none → 1")
    assert filled.objects.kubectl("get", "modelalias", "digits.staging", "-o", "jsonpath={.spec.version}") == "1"
    # The page below is the current one: deciding again works.
    decide(walter, "promote", f"Yes, promote as {filled.user('walter')}")
    expect(walter.get_by_text("The version was requested.")).to_be_visible()


def test_a_rollback_is_refused_once_another_version_is_live(browse: Browse, site: Site, filled: Team) -> None:
    digest = registry.digest()
    history = [{"version": number, "digest": digest, "from": f"2026-03-0{number}T12:00:00Z"} for number in (1, 2)]
    bound = {"phase": "Bound", "boundVersion": 2, "boundDigest": digest, "previousVersion": 1, "history": history}
    filled.objects.set_status("modelalias", "digits.staging", bound)
    walter = browse("walter")
    walter.goto(site.page("models/digits/aliases/staging?version=1"))
    walter.locator("form#rollback button").click()
    filled.objects.set_status("modelalias", "digits.staging", {"boundVersion": 1})
    walter.get_by_role("button", name="Yes, roll back").click()
    expect(walter.locator("#changed")).to_contain_text("live version: 2 → 1")
    text = filled.objects.kubectl("get", "modelalias", "digits.staging", "-o", "yaml")
    assert "rollback-requested" not in text


def test_a_run_with_hostile_text_is_shown_safely(browse: Browse, site: Site, filled: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs/bad"))
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.locator("figure canvas").first).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="x.svg", exact=True).click()
    assert saved.value.suggested_filename == "x.svg"
    expect(page.locator("details[open] .matrix")).to_contain_text(HOSTILE)
    for name in ("x.svg", "x.html", "table.csv"):
        page.locator("summary", has_text=name).click()
        expect(page.locator("details[data-show]", has_text=name)).to_contain_text("<img src=x onerror=alert(2)>")
    real, fake = (page.get_by_role("img", name=name) for name in ("real.png", "fake.png"))
    real.scroll_into_view_if_needed()
    expect(real).to_have_js_property("naturalWidth", 1)
    expect(fake).to_have_js_property("naturalWidth", 0)
    for name in ("x.svg", "x.html"):  # typed into the address bar, they are downloads as well
        with page.expect_download():
            page.evaluate("address => location.assign(address)", f"{page.url}/files/intake/p/artifacts/{name}?inline=1")
    page.goto(f"{page.url}/files/intake/p/artifacts/note.txt?inline=1")  # shown as text, without an origin
    assert page.evaluate("[document.contentType, self.origin]") == ["text/plain", "null"]
    page.goto(site.page("compare?run=bad&run=good"))
    expect(page.locator("#parallel svg")).to_be_visible()
    expect(page.locator("#comparison")).to_contain_text(HOSTILE)


def test_a_user_without_rights_sees_the_reason(browse: Browse, site: Site, filled: Team) -> None:
    page = browse("nobody")
    page.goto(site.page("runs"))
    expect(page.get_by_role("alert")).to_contain_text("cannot list")
    assert page.locator("table").count() == 0


def test_parallel_coordinates_are_brushed(browse: Browse, site: Site, filled: Team) -> None:
    page = browse("dora")
    page.goto(site.page("compare?run=bad&run=good&run=going"))
    grip = page.locator("#parallel [data-axis='params.lr']")

    def brushed() -> bool:
        grip.scroll_into_view_if_needed()
        box = grip.bounding_box()
        assert box
        page.mouse.move(box["x"] + 16, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + 16, box["y"] + box["height"] * 0.3, steps=3)
        page.mouse.up()
        return page.locator("#kept").text_content() == "1 of 3 runs are within"

    # Curves above that are drawn meanwhile move the axis away from under the mouse.
    wait_for("the axis to be brushed", brushed, seconds=20)
    expect(page.locator("#parallel .line.out")).to_have_count(2)
    page.locator("#scatter-axes select[name=x]").select_option("metrics.loss")
    page.locator("#scatter-axes select[name=y]").select_option("params.lr")
    expect(page.locator("#scatter circle")).to_have_count(3)
    page.get_by_text("Numbers of the scatter plot").click()
    table = page.get_by_role("region", name="Numbers of the scatter plot").get_by_role("table")
    expect(table.locator("thead")).to_have_text("runmetrics.lossparams.lr")
    expect(table.locator("tbody tr").filter(has_text="good")).to_have_text("good0.10.01")
    page.get_by_text("Numbers of the parallel coordinates").click()
    within = page.get_by_role("region", name="Numbers of the parallel coordinates").get_by_role("table").locator("tr")
    expect(within.first).to_contain_text("within")
    expect(within.filter(has_text=re.compile("yes$"))).to_have_count(1)
    expect(within.filter(has_text=re.compile("no$"))).to_have_count(2)


def test_the_keyboard_alone_brushes_parallel_coordinates(browse: Browse, site: Site, filled: Team) -> None:
    page = browse("dora")
    page.goto(site.page("compare?run=bad&run=good&run=going"))
    lower, upper = (page.get_by_role("slider", name=f"params.lr, {end} limit") for end in ("lower", "upper"))
    expect(upper).to_have_attribute("aria-valuetext", "0.5")
    page.get_by_role("region", name="Chart of parallel coordinates").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "params.lr, lower limit":
            break
    kept, out = page.locator("#kept"), page.locator("#parallel .line.out")
    page.keyboard.press("ArrowUp")
    expect(kept).to_have_text("2 of 3 runs are within")
    expect(lower).to_have_attribute("aria-valuetext", "0.1")
    expect(lower).to_be_focused()
    page.keyboard.press("Tab")
    expect(upper).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(kept).to_have_text("1 of 3 runs are within")
    expect(out).to_have_count(2)
    page.keyboard.press("ArrowDown")  # not below the lower limit
    expect(upper).to_have_attribute("aria-valuetext", "0.1")
    page.keyboard.press("End")
    expect(kept).to_have_text("2 of 3 runs are within")
    page.keyboard.press("Escape")
    expect(kept).to_have_text("")
    expect(out).to_have_count(0)
    expect(upper).to_be_focused()


def test_the_keyboard_walks_the_table(browse: Browse, site: Site, filled: Team) -> None:
    page = browse("dora")
    page.goto(site.page("runs?column=name&sort=name"))
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.keyboard.press("k")
    expect(page.locator("#rows tr").first.locator("a:not(.pin)")).to_be_focused()
    page.get_by_role("button", name="Compare selected").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 runs")


def test_pages_are_accessible_and_fit(browse: Browse, site: Site, filled: Team) -> None:
    # axe adds elements of its own, which the policy would stop.
    page = browse("rita", bypass_csp=True)
    problems = []
    for path in PAGES:
        accessibility.look(page, "light", 1280)
        page.goto(site.page(path))
        if path in ("runs/bad",) or path.startswith("compare") or "curves=1" in path:
            page.locator("figure").first.scroll_into_view_if_needed()
            expect(page.locator("figure canvas").first).to_be_visible()
        problems += accessibility.problems(page, path)
    assert not problems, "\n".join(problems)
