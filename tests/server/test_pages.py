"""The pages without a browser: who may see and do what, what a form must have seen, and a run that attacks."""

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from lxml import html
from starlette.applications import Starlette
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.sealing import Seal
from assay.server.entrance.session import SessionEntrance
from assay.store import archive
from tests import registry
from tests.cli.stand_in import BEGUN, metric
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster
from tests.server.conftest import Team

pytestmark = pytest.mark.integration

As = Callable[[str], TestClient]
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>"
POD = "bad-x"


@pytest.fixture(scope="module")
def filled(team: Team) -> Team:
    """A run whose every word is an attack, its files and its log; a model with two versions and an alias."""
    objects = team.objects
    status = {
        "phase": "Failed",
        "reason": "Error",
        "message": HOSTILE,
        "startTime": BEGUN,
        "completionTime": BEGUN,
        "metrics": {"loss": metric(0.1), "<b>acc</b>": metric(0.5)},
        "logged": {"parameters": {"note": HOSTILE}},
        "attempts": [{"pod": POD, "phase": "Failed"}],
        "record": {"uri": "s3://assay/runs/", "pod": POD},
    }
    sources = [{"repository": "https://git.example.com/ml.git", "revision": each * 40} for each in "ab"]
    run = objects.run("bad", status, parameters={"note": HOSTILE}, owner=HOSTILE[:60], source=sources[0])
    for name, data in {
        "x.svg": b"<svg onload='alert(3)'/>",
        "x.html": HOSTILE.encode(),
        "x.png": b"\x89PNG\r\n\x1a\n0",
        "fake.webp": b"RIFF0000<script>",
        "table.csv": f"name,score\n{HOSTILE},1\n".encode(),
        "confusion.json": json.dumps({"labels": [HOSTILE, "b"], "confusion_matrix": [[9, 1], [0, 4]]}).encode(),
    }.items():
        objects.store.put_bytes(f"{objects.prefix(run)}/intake/{POD}/artifacts/{name}", data)
    good = {**status, "phase": "Succeeded", "reason": "", "message": ""}
    other = objects.run("good", good, parameters={"note": "fine"}, source=sources[1])
    for each, version in ((run, HOSTILE), (other, "2.0")):
        environment = {"python": "3.12", "packages": {"torch": version, "numpy": "2.1"}}
        key = f"{objects.prefix(each)}/pods/{POD}/environment.json"
        objects.store.put_bytes(key, json.dumps(environment).encode())
    for number in (1, 2):
        objects.create(registry.model_version("digits", number, namespace=team.namespace), {"phase": "Ready"})
    objects.create(registry.model_alias("digits", "champion", 1), {"phase": "Pending"})
    objects.create(registry.experiment("digits-sweep"))
    return team


def show(client: TestClient, team: Team, path: str, status: int = 200) -> html.HtmlElement:
    """Return a page, which has the given status."""
    answer = client.get(f"/n/{team.namespace}/{path}", headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    return html.fromstring(answer.text)


ALIAS = "models/digits/aliases/champion"
SHOW = f"runs/bad/show/intake/{POD}/artifacts"
PATHS = (
    "runs", "runs/bad", "compare?run=bad&run=good", "models", "models/digits", ALIAS, "experiments",
    "experiments/digits-sweep", "audit", "audit?verify=1", f"{SHOW}/x.svg", f"{SHOW}/table.csv",
    f"{SHOW}/confusion.json",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_shown_with_the_user_name_and_no_markup_of_a_run(as_user: As, filled: Team, path: str) -> None:
    page = show(as_user("dora"), filled, path)
    assert filled.user("dora") in page.text_content()
    foreign = "//img[not(starts-with(@src, '/n/'))]"
    assert not page.xpath(
        f"//script[not(@src)] | {foreign} | //main//b[text()='acc'] | //@onerror | //@onload | //@style"
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_user_without_rights_sees_no_table_and_the_reason(as_user: As, filled: Team, path: str) -> None:
    page = show(as_user("nobody"), filled, path, 403)
    assert f'User "{filled.user("nobody")}" cannot' in page.text_content()
    assert "docs/personas.md" in page.text_content()
    assert not page.xpath("//table")


def test_a_browser_without_a_user_gets_a_page_and_a_program_gets_json(app: Starlette) -> None:
    client = TestClient(app, base_url="http://127.0.0.1")
    page = client.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401
    assert "token" in html.fromstring(page.text).text_content()
    assert client.get("/", headers={"accept": "application/json"}).json()["error"]


def test_a_session_of_a_pasted_token_has_a_way_out(governed: Cluster, filled: Team) -> None:
    entrance = SessionEntrance(ApiServer(str(governed.kubeconfig)), Seal(b"s" * 32))
    app = create(Parts(entrance))
    client = TestClient(app, base_url="https://127.0.0.1")
    client.post("/sign-in", data={"token": filled.tokens["dora"]}, follow_redirects=False)
    (form,) = show(client, filled, "runs").xpath("//form[@action='/sign-out']")
    client.request(form.get("method"), form.get("action"), follow_redirects=False)
    page = show(client, filled, "runs", 401)
    assert page.xpath("//a[@class='button']/@href") == ["/sign-in"]
    program = TestClient(app, base_url="https://127.0.0.1")
    program.headers["Authorization"] = f"Bearer {filled.tokens['dora']}"
    assert not show(program, filled, "runs").xpath("//form[@action='/sign-out'] | //a[text()='Sign out']")


def test_a_missing_page_is_a_page(as_user: As, filled: Team) -> None:
    assert "does not exist" in show(as_user("dora"), filled, "nothing", 404).text_content()


def test_an_invalid_filter_keeps_the_page_and_shows_the_error(as_user: As, filled: Team) -> None:
    page = show(as_user("dora"), filled, "runs?where=metrics.lss.last%20%3C%201", 400)
    assert "did you mean loss?" in page.get_element_by_id("problem").text_content()
    assert page.get_element_by_id("where").get("value") == "metrics.lss.last < 1"


def test_groups_show_mean_and_spread(as_user: As, filled: Team) -> None:
    page = show(as_user("dora"), filled, "runs?group=phase")
    cells = [cell.text_content() for cell in page.xpath("//table[@id='groups']//tr[th='Failed']/td")]
    assert cells[0] == "1"
    assert "0.1 (1)" in [cell.strip() for cell in cells]


def test_a_comparison_has_code_data_and_environment(as_user: As, filled: Team) -> None:
    page = show(as_user("dora"), filled, "compare?run=bad&run=good")
    made = {row.xpath("string(th)"): row.xpath("td/text()") for row in page.xpath("//table[@id='made-of']//tr[td]")}
    assert made["environment.packages.torch"] == [HOSTILE, "2.0"]
    assert made["spec.source.revision"] == ["a" * 40, "b" * 40]
    assert "environment.packages.numpy" not in made
    assert f"git diff {'a' * 40} {'b' * 40}" in page.text_content()
    assert not [each for each in page.xpath("//table[@id='comparison']//th/text()") if each.startswith("source.")]


def test_a_run_that_only_the_store_has_is_called_archived(as_user: As, filled: Team) -> None:
    objects, dora = filled.objects, as_user("dora")
    run = objects.run("retired", {"phase": "Succeeded", "completionTime": BEGUN}, parameters={"note": "fine"})
    pages = "runs/retired", "compare?run=retired&run=good", "runs?pin=retired&column=name&column=archived"
    assert "archived" not in show(dora, filled, pages[0]).get_element_by_id("state").text_content()
    archive.write_archived(objects.store, objects.prefix(run), run)
    objects.remove("run.assay.dev", "retired")
    one, compared, pinned = (show(dora, filled, page) for page in pages)
    assert "· archived" in one.get_element_by_id("state").text_content()
    assert "state archived" in one.xpath("string(//table[@id='lineage-table']//tr[td='run'])")
    assert compared.xpath("//table[@id='comparison']//th[small='archived']/a/text()") == ["retired"]
    assert pinned.xpath("//tbody[@id='pinned']//td[@class != 'marks' or not(@class)]//text()") == ["retired", "true"]
    found = dora.get(f"/api/v1/namespaces/{filled.namespace}/runs/retired").json()
    assert found["row"]["archived"] is True
    assert "· archived" not in show(dora, filled, "runs/good").get_element_by_id("state").text_content()


def test_a_comparison_without_the_stores_key_has_what_the_cluster_knows(as_user: As, filled: Team) -> None:
    page = show(as_user("keyless"), filled, "compare?run=bad&run=good")
    assert "packages and hardware are not compared" in page.text_content()
    assert "spec.source.revision" in page.get_element_by_id("made-of").text_content()


def test_the_importance_of_parameters_names_what_it_needs(as_user: As, filled: Team) -> None:
    text = show(as_user("dora"), filled, "compare?run=bad&run=good&explain=<b>acc</b>").text_content()
    assert "needs 8 runs with a value of <b>acc</b>, not 2" in text
    text = show(as_user("dora"), filled, "compare?run=bad&run=good&explain=lss").text_content()
    assert "did you mean loss?" in text


def test_a_download_is_csv_that_no_spreadsheet_executes(as_user: As, filled: Team) -> None:
    answer = as_user("dora").get(f"/n/{filled.namespace}/runs.csv?column=name&column=metrics.loss")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert sorted(answer.text.splitlines()) == ["bad,0.1", "good,0.1", "name,metrics.loss"]


def test_a_download_is_parquet_with_types(as_user: As, filled: Team, tmp_path: Path) -> None:
    columns = "column=name&column=metrics.loss&column=seed&column=archived&column=params.note"
    answer = as_user("dora").get(f"/n/{filled.namespace}/runs.parquet?sort=name&{columns}")
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.parquet"'
    file = tmp_path / "runs.parquet"
    file.write_bytes(answer.content)
    found = duckdb.sql(f"SELECT * FROM '{file}'")
    assert [str(kind) for kind in found.types] == ["VARCHAR", "DOUBLE", "VARCHAR", "BOOLEAN", "VARCHAR"]
    assert found.fetchall() == [("bad", 0.1, None, False, HOSTILE), ("good", 0.1, None, False, "fine")]


def test_a_pinned_run_is_on_top_with_any_filter(as_user: As, filled: Team) -> None:
    page = show(as_user("dora"), filled, "runs?pin=bad&pin=gone&where=phase%20%3D%3D%20'Succeeded'")
    assert page.xpath("//tbody[@id='pinned']//@data-run") == ["bad"]
    assert page.xpath("//tbody[@id='rows']//@data-run") == ["good"]
    assert "gone" in page.get_element_by_id("notes").text_content()
    (unpin,) = page.xpath("//tr[@data-run='bad']//a[@class='pin']")
    assert "pin=bad" not in unpin.get("href")
    assert "pin=gone" in unpin.get("href")
    twice = show(as_user("dora"), filled, "runs?pin=good&sort=name")
    assert twice.xpath("//tr/@data-run") == ["good", "bad"]


def test_pins_are_limited_and_names_of_runs(as_user: As, filled: Team) -> None:
    many = "&".join(f"pin=r{number}" for number in range(21))
    assert "at most 20" in show(as_user("dora"), filled, f"runs?{many}", 400).text_content()
    page = show(as_user("dora"), filled, "runs?pin=..%2Fsecrets")
    assert "invalid name of a run" in page.get_element_by_id("notes").text_content()


@pytest.mark.parametrize(
    ("name", "inline", "kind"),
    [
        ("x.svg", False, "application/octet-stream"),
        ("x.svg", True, "application/octet-stream"),
        ("x.html", True, "application/octet-stream"),
        ("x.png", True, "image/png"),
        ("fake.webp", True, "application/octet-stream"),
    ],
)
def test_a_file_never_runs(as_user: As, filled: Team, name: str, inline: bool, kind: str) -> None:
    path = f"/n/{filled.namespace}/runs/bad/files/intake/{POD}/artifacts/{name}"
    answer = as_user("dora").get(path, params={"inline": "1"} if inline else {})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("inline" if kind == "image/png" else "attachment")


def test_artifacts_are_shown_on_the_page_of_the_run(as_user: As, filled: Team) -> None:
    page = show(as_user("dora"), filled, "runs/bad")
    assert page.xpath("//img/@alt") == ["fake.webp", "x.png"]
    assert page.xpath("//details[@data-show]/summary/text()") == ["confusion.json", "table.csv", "x.html", "x.svg"]
    assert page.xpath("//details[@data-show and @open]/summary/text()") == ["confusion.json"]


def test_a_table_a_matrix_and_the_text_of_a_document(as_user: As, filled: Team) -> None:
    dora = as_user("dora")
    table = show(dora, filled, f"{SHOW}/table.csv").get_element_by_id("shown")
    assert table.xpath(".//td/text()") == [HOSTILE, "1"]
    matrix = show(dora, filled, f"{SHOW}/confusion.json").get_element_by_id("shown")
    assert matrix.xpath(".//td[@class]/@class") == [f"number heat-{level}" for level in (9, 1, 0, 9)]
    assert matrix.xpath(".//tbody//th/text()") == [HOSTILE, "b"]
    assert "<svg onload=" in show(dora, filled, f"{SHOW}/x.svg").xpath("string(//pre)")
    show(dora, filled, "runs/bad/show/..%2F..%2Frun.json", 404)


@pytest.mark.parametrize("path", ["../../run.json", "..%2F..%2Frun.json", "intake/none"])
def test_only_files_of_the_record_are_downloaded(as_user: As, filled: Team, path: str) -> None:
    answer = as_user("dora").get(f"/n/{filled.namespace}/runs/bad/files/{path}", headers={"accept": "text/html"})
    assert answer.status_code == 404


def test_without_the_stores_key_a_run_is_shown_without_its_files(as_user: As, filled: Team) -> None:
    text = show(as_user("keyless"), filled, "runs/bad").text_content()
    assert "secrets" in text
    assert "Parameters" in text


# Decisions


def submit(client: TestClient, team: Team, verb: str, fields: dict[str, str]) -> tuple[int, html.HtmlElement]:
    answer = client.post(f"/n/{team.namespace}/{ALIAS}/{verb}", data=fields, follow_redirects=True)
    return answer.status_code, html.fromstring(answer.text)


def form(page: html.HtmlElement, verb: str) -> dict[str, str]:
    found = page.xpath(f"//form[contains(@action, '/{verb}')]")
    assert found, page.text_content()
    return dict(found[0].form_values())


def test_three_users_move_a_model_under_their_own_names(as_user: As, filled: Team) -> None:
    rita, walter, dora = as_user("rita"), as_user("walter"), as_user("dora")
    page = show(rita, filled, f"{ALIAS}?version=2")
    assert not page.xpath("//form[contains(@action, '/promote')]")
    assert "may not bind" in page.text_content()
    assert not show(dora, filled, ALIAS).xpath("//form[@method='post']")

    status, preview = submit(rita, filled, "approve", form(page, "approve") | {"comment": "looks right"})
    assert status == 200
    assert "dry run" in preview.text_content()
    assert registry.digest() in preview.text_content()
    assert "annotations" not in _version(filled, 2)["metadata"]
    status, done = submit(rita, filled, "approve", form(preview, "approve"))
    assert status == 200
    assert "The approval was written" in done.text_content()
    (text,) = _version(filled, 2)["metadata"]["annotations"].values()
    assert text.startswith(f"{registry.digest()} {filled.user('rita')}\n")
    assert text.endswith("\nlooks right")

    page = show(walter, filled, f"{ALIAS}?version=2")
    status, preview = submit(walter, filled, "promote", form(page, "promote"))
    assert status == 200
    status, done = submit(walter, filled, "promote", form(preview, "promote"))
    assert "was requested" in done.text_content()
    alias = _get(filled, "modelalias", "digits.champion")
    assert alias["spec"]["version"] == 2
    assert alias["metadata"]["annotations"]["assay.dev/moved-by"] == filled.user("walter")


def test_a_person_without_the_verb_cannot_post_a_form(as_user: As, filled: Team) -> None:
    page = show(as_user("rita"), filled, ALIAS)
    status, refused = submit(as_user("dora"), filled, "approve", form(page, "approve") | {"confirmed": "1"})
    assert status == 403
    assert "may not approve" in refused.text_content()


def test_approving_a_changed_version_is_refused_with_the_changes(as_user: As, filled: Team) -> None:
    rita = as_user("rita")
    fields = form(show(rita, filled, f"{ALIAS}?version=1"), "approve")
    filled.objects.set_status("modelversion", "digits.v1", {"phase": "Failed"})
    status, page = submit(rita, filled, "approve", fields | {"confirmed": "1"})
    assert status == 409
    assert "phase: Ready → Failed" in page.get_element_by_id("changed").text_content()
    assert "annotations" not in _version(filled, 1)["metadata"]
    assert form(page, "approve")["seen"] != fields["seen"]


def test_another_digest_in_the_form_is_refused(as_user: As, filled: Team) -> None:
    rita = as_user("rita")
    fields = form(show(rita, filled, f"{ALIAS}?version=1"), "approve")
    seen = json.loads(fields["seen"]) | {"digest": registry.digest("2")}
    status, page = submit(rita, filled, "approve", {**fields, "seen": json.dumps(seen), "confirmed": "1"})
    assert status == 409
    assert registry.digest("2") in page.get_element_by_id("changed").text_content()


def test_another_sites_page_cannot_submit_a_form(as_user: As, filled: Team) -> None:
    fields = form(show(as_user("rita"), filled, ALIAS), "approve") | {"confirmed": "1"}
    answer = as_user("rita").post(
        f"/n/{filled.namespace}/{ALIAS}/approve", data=fields, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403


def test_an_experiment_shows_which_parameters_matter(as_user: As, filled: Team) -> None:
    objective = {"metric": "loss", "direction": "minimize"}
    filled.objects.create(registry.experiment("searched", objective=objective))
    for number in range(8):
        status = {"phase": "Succeeded", "metrics": {"loss": metric(number / 7)}, "startTime": BEGUN}
        parameters = {"lr": number / 7, "even": number % 2}
        filled.objects.run(f"s{number}", status, experiment="searched", parameters=parameters, objective=objective)
    page = show(as_user("dora"), filled, "experiments/searched?explain=1")
    assert "the lowest values of loss have in common, of 8 runs" in page.text_content()
    first = page.xpath("//table[@id='importance']/tbody/tr")[0]
    assert (first.xpath("string(th)"), first.xpath("string(td[3])")) == ("lr", "+1.00")


def test_an_alias_that_was_rolled_back_waits_for_nothing(as_user: As, filled: Team) -> None:
    def said() -> str:
        (line,) = show(as_user("dora"), filled, "models").xpath("//tr[th//a='words']//div[a='live']")
        return " ".join(line.text_content().split())

    alias = registry.model_alias("words", "live", 2)
    waiting = filled.objects.create(alias, {"phase": "Held", "boundVersion": 1})
    wait_for("the move", lambda: said() == "live v1 is live, v2 waits", saw=said)
    at = {"generation": waiting["metadata"]["generation"], "at": BEGUN}
    left = {"version": 2, "reason": "RolledBack", **at}
    filled.objects.set_status("ModelAlias", "words.live", {"phase": "Bound", "boundVersion": 1, "setAside": left})
    wait_for("the rollback", lambda: said() == "live v1 is live, rolled back from v2", saw=said)


def _version(team: Team, number: int) -> dict[str, dict[str, dict[str, str]]]:
    return _get(team, "modelversion", f"digits.v{number}")


def _get(team: Team, kind: str, name: str) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = json.loads(team.objects.kubectl("get", kind, name, "-o", "json"))
    return found
