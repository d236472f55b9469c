"""Pages that change while somebody looks at them: what they show, what they keep, and what they do without a stream."""

import gzip
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from assay.server.streams import points as watching
from assay.store import archive, layout, logs, system
from assay.store.layout import LogName
from tests import registry
from tests.browser.conftest import Browse, Site
from tests.cli.stand_in import BEGUN, metric
from tests.cluster.waiting import wait_for
from tests.server.conftest import Team

pytestmark = [pytest.mark.integration, pytest.mark.browser]

POD = "live-1-x"
LOG = LogName(POD, "train")
HOSTILE = "</pre><script>alert(1)</script>"
RUNNING = {"phase": "Running", "startTime": BEGUN, "attempts": [{"pod": POD, "phase": "Running"}]}


def keep(page: Page) -> None:
    """Leave a mark that a reload would remove."""
    page.evaluate("document.documentElement.dataset.kept = 'yes'")


def kept(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.dataset.kept === 'yes'"))


def show_part(team: Team, run: dict[str, object], number: int, lines: list[str]) -> None:
    """Store a part of the run's log as the operator does."""
    text = "".join(f"2026-03-01T12:00:{number:02}.000000000Z {line}\n" for line in lines)
    logs.put_part(team.objects.store, team.objects.prefix(run), LOG, number, gzip.compress(text.encode()))


def points(first: int, last: int) -> list[tuple[str, int, float, float]]:
    return [
        (name, step, 1_700_000_000.0 + step, 1 / (step + 1))
        for step in range(first, last)
        for name in ("loss", "system/gpu0_used")
    ]


def test_a_run_is_followed_from_its_first_point_to_its_end(browse: Browse, site: Site, team: Team) -> None:
    run = team.objects.run("live-1", RUNNING)
    page = browse("dora")
    # Polling is switched off, so every change comes through the stream.
    page.clock.install()
    page.goto(site.page("runs/live-1"))
    expect(page.locator("body")).to_have_attribute("data-stream", "open")
    keep(page)
    expect(page.locator("figure:visible")).to_have_count(0)

    team.objects.streamed(run, POD, [points(0, 2)])
    team.objects.set_status("run", "live-1", {"metrics": {"loss": metric(0.5), "system/gpu0_used": metric(0.5)}})
    page.clock.run_for(1500)
    loss, used = page.locator("#charts figure[data-metric=loss]"), page.locator("#system figure")
    expect(loss).to_have_attribute("data-points", "2")
    expect(used).to_have_attribute("data-metric", "system/gpu0_used")
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    canvas = loss.locator("canvas").element_handle()

    team.objects.streamed(run, POD, [points(0, 2), points(2, 12)])
    expect(loss).to_have_attribute("data-points", "12")
    assert canvas.evaluate("each => each.isConnected"), "the chart is not drawn anew for more points"

    team.objects.set_status("run", "live-1", {"phase": "Succeeded", "completionTime": BEGUN})
    page.clock.run_for(1500)
    expect(page.locator("#state .phase")).to_have_text("Succeeded")
    expect(page.locator("body")).to_have_attribute("data-stream", "ended")
    assert kept(page)


def sampled(
    team: Team, run: dict[str, object], pod: str, times: range, containers: tuple[str, ...] = ("train",)
) -> None:
    """Store samples as the operator does."""
    rows = [
        {"container": container, "metric": f"system.{metric}", "time": 1_700_000_000.0 + time, "value": value}
        for time in times
        for container in containers
        for metric, value in (("cpu_cores", 0.75), ("cpu_seconds", float(time)), ("memory_bytes", 3.0 * 2**29))
    ]
    system.append(team.objects.store, team.objects.prefix(run), pod, None, rows)


def test_cpu_and_memory_are_drawn_while_a_run_trains_and_when_only_its_record_is_left(
    browse: Browse, site: Site, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_RENEWED_SECONDS", 0.0)  # the server is this process, and the wait ten seconds
    container = {"name": "train", "image": "train", "resources": {"limits": {"memory": "2Gi", "cpu": "1500m"}}}
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    run = team.objects.run("used", RUNNING, job=job)
    page = browse("dora")
    page.goto(site.page("runs/used"))
    expect(page.locator("#usage-said")).to_have_text("there are no samples of CPU and memory yet")
    expect(page.locator("#usage figure:visible")).to_have_count(0)
    sampled(team, run, "used-0", range(0, 60, 15))
    cpu, memory = (page.locator(f"[data-usage='system.{name}']") for name in ("cpu_cores", "memory_bytes"))
    expect(memory).to_have_attribute("data-points", "4")
    canvas = memory.locator("canvas").element_handle()
    sampled(team, run, "used-0", range(60, 75, 15))
    expect(memory).to_have_attribute("data-points", "5")
    assert canvas.evaluate("each => each.isConnected"), "the chart is not drawn anew for more samples"
    expect(memory.locator(".u-legend")).to_contain_text("used-0/train")
    expect(memory.locator(".u-legend")).to_contain_text("limit")
    expect(memory.get_by_role("img")).to_have_attribute("aria-label", re.compile("1.5 GiB of 2 GiB"))
    expect(cpu.get_by_role("img")).to_have_attribute("aria-label", re.compile("0.75 of 1.5"))
    drawn = "requestAnimationFrame(() => requestAnimationFrame(() => done(each.toDataURL())))"
    picture = f"each => new Promise(done => {drawn})"
    whole = memory.locator("canvas").evaluate(picture)
    memory.get_by_role("img").press("+")
    assert memory.locator("canvas").evaluate(picture) != whole, "the keyboard zooms"
    page.keyboard.press("Escape")
    assert memory.locator("canvas").evaluate(picture) == whole
    memory.locator("summary").click()
    rows = memory.locator(".numbers tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.last).to_have_text(f"used-0train2023-11-14T22:14:20.000Z{3 * 2**29}{2**31}")
    sampled(team, run, "used-1", range(90, 120, 15), ("train", "side"))
    expect(memory.locator(".u-legend .u-series")).to_have_count(5)
    expect(rows).to_have_count(9)

    usage = {"samples": 9, "cpuSeconds": 1.0}
    ended = team.objects.set_status("run.assay.dev", "used", {"phase": "Succeeded", "usage": usage})
    expect(page.locator("#state .phase")).to_have_text("Succeeded")
    store, prefix = team.objects.store, team.objects.prefix(run)
    store.put_bytes(f"{prefix}/{layout.MANIFEST}", b"{}")
    archive.write_archived(store, prefix, ended)
    team.objects.remove("run.assay.dev", "used")
    page.goto(site.page("runs/used"))
    expect(memory).to_have_attribute("data-points", "9")

    unread = browse("keyless")
    team.objects.run("unread", RUNNING)
    unread.goto(site.page("runs/unread"))
    expect(unread.locator("#usage-said")).to_contain_text("cannot get resource")


def test_why_a_run_has_no_samples_is_shown(browse: Browse, site: Site, team: Team) -> None:
    message = "the run ended before the first sample"
    team.objects.run("short", {"phase": "Succeeded", "usage": {"samples": 0, "message": message}})
    page = browse("dora")
    page.goto(site.page("runs/short"))
    expect(page.locator("#usage-said")).to_have_text(message)
    expect(page.locator("#usage")).to_have_count(0)


def test_a_log_is_followed_until_somebody_reads_it(browse: Browse, site: Site, team: Team) -> None:
    run = team.objects.run("live-2", RUNNING)
    page = browse("dora")
    page.clock.install()

    def has(part: Locator, text: str) -> None:
        """Let the page's time pass until a part of it has a text."""

        def there() -> bool:
            page.clock.run_for(2000)
            return text in (part.text_content() or "")

        wait_for(text, there, seconds=30, saw=part.text_content)

    page.goto(site.page("runs/live-2"))
    log, text = page.locator("#log"), page.locator("#log pre")
    expect(page.locator("#following")).to_contain_text("has no log")
    show_part(team, run, 1, [HOSTILE, *(f"epoch {number}" for number in range(200))])
    has(text, "epoch 199")
    expect(text).to_contain_text(HOSTILE)
    expect(log).to_have_attribute("data-state", "following")

    text.evaluate("each => { each.scrollTop = 0; }")
    expect(log).to_have_attribute("data-state", "paused")
    show_part(team, run, 2, ["epoch 200"])
    page.get_by_role("button", name="Follow").click()
    has(text, "epoch 200")
    show_part(team, run, 3, [f"step {number}" for number in range(5000)])
    has(text, "… lines were left out …")
    expect(text).to_contain_text("step 4999")
    assert len(text.inner_text().splitlines()) <= 2000
    team.objects.set_status("run", "live-2", {"phase": "Failed"})
    has(page.locator("#following"), "The run has ended.")
    expect(log).to_have_attribute("data-state", "ended")


def test_without_the_stream_the_page_asks_again(browse: Browse, site: Site, team: Team) -> None:
    team.objects.run("live-3", RUNNING)
    page = browse("dora")
    page.clock.install()
    page.route(re.compile("/events/"), lambda route: route.abort())
    page.goto(site.page("runs/live-3"))
    expect(page.locator("body")).to_have_attribute("data-stream", "polling")
    keep(page)
    team.objects.set_status("run", "live-3", {"phase": "Failed", "message": "out of memory"})
    page.clock.run_for(5000)
    expect(page.locator("#state")).to_contain_text("out of memory")
    assert kept(page)


def test_an_experiment_shows_its_progress_and_a_new_run_as_they_come(browse: Browse, site: Site, team: Team) -> None:
    team.objects.create(registry.experiment("live-sweep"), {"phase": "Running", "runs": {"total": 4, "succeeded": 1}})
    page, table = browse("dora"), browse("dora")
    page.goto(site.page("experiments/live-sweep"))
    table.goto(site.page("runs?experiment=live-sweep"))
    for each in (page, table):
        expect(each.locator("body")).to_have_attribute("data-stream", "open")
        keep(each)
    best = {"run": "live-sweep-1", "value": 0.93, "parameters": {"lr": 0.1}}
    team.objects.run("live-sweep-1", {**RUNNING, "metrics": {"loss": metric(0.25)}}, experiment="live-sweep")
    expect(page.locator("#active")).to_contain_text("live-sweep-1")
    expect(table.locator("#rows tr")).to_have_count(1)
    status = {"phase": "Running", "runs": {"total": 4, "succeeded": 3}, "best": best}
    team.objects.set_status("experiment", "live-sweep", status)
    expect(page.locator("#state")).to_contain_text("3 of 4 runs have ended")
    expect(page.locator("#state")).to_contain_text("0.93")
    assert kept(page)
    assert kept(table)


def test_lineage_leads_from_the_data_to_the_workload_and_back(browse: Browse, site: Site, team: Team) -> None:
    dataset = {"name": "mnist", "uri": "https://data.example.com/mnist", "digest": registry.digest("2")}
    run = team.objects.run("origin", {**RUNNING, "phase": "Succeeded"}, datasets=[dataset], parameters={"lr": 0.1})
    metadata = run["metadata"]
    made = {"name": metadata["name"], "uid": metadata["uid"]}
    team.objects.create(
        registry.model_version("traced", 1, namespace=team.namespace, run=made), {"phase": "Ready", "registered": BEGUN}
    )
    serving = [{"kind": "Deployment", "name": "digits-api", "version": 1, "ready": True}]
    team.objects.create(
        registry.model_alias("traced", "champion", 1), {"phase": "Bound", "boundVersion": 1, "serving": serving}
    )
    page = browse("dora")
    page.goto(site.page("runs/origin"))
    expect(page.locator("#lineage svg .box")).to_have_count(6)
    page.locator("#lineage svg a", has_text="traced.v1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("traced.v1")
    page.get_by_text("Lineage as a table").click()
    rows = page.locator("#lineage-table tbody tr")
    texts = {row[0]: row for row in rows.evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.textContent))")}
    assert [texts[kind][3] for kind in ("data", "run", "version", "alias", "deployment")] == [
        "origin", "traced.v1", "traced.champion", "digits-api", "",
    ]  # fmt: skip
    page.locator("#lineage svg a", has_text="origin").click()
    expect(page.locator("#reproducible")).to_contain_text("spec.source is missing")
    expect(page.locator("#commands")).to_contain_text("assay rerun origin")


def test_only_charts_in_view_are_drawn(browse: Browse, site: Site, team: Team) -> None:
    names = [f"metric_{number:02}" for number in range(60)]
    status = {**RUNNING, "phase": "Succeeded", "metrics": {name: metric(0.5) for name in names}}
    run = team.objects.run("many", status)
    team.objects.streamed(run, POD, [[(name, step, 1_700_000_000.0, 0.5) for name in names for step in range(3)]])
    page = browse("dora")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/curves?" in request.url else None)
    page.goto(site.page("runs/many"))
    expect(page.locator("figure")).to_have_count(60)
    page.locator("figure").first.scroll_into_view_if_needed()
    expect(page.locator("figure canvas").first).to_be_visible()
    assert page.locator("figure canvas").count() < 20
    page.locator("figure").last.scroll_into_view_if_needed()
    expect(page.locator("figure").last.locator("canvas")).to_be_visible()
    assert len(asked) < page.locator("figure canvas").count(), "charts share requests"
