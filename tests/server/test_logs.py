"""The log of a run through the API: its end, what came since, and whose rights count."""

import gzip
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from assay.queries.logs import following
from assay.store import logs
from assay.store.layout import LogName
from tests.server.conftest import Team

As = Callable[[str], TestClient]
POD = "logged-x"


def put(team: Team, run: dict[str, object], number: int, lines: list[str], attempt: int = 0) -> None:
    text = "".join(f"2026-03-01T12:00:00.{number:09}Z {line}\n" for line in lines)
    name = LogName(POD, "train", attempt)
    logs.put_part(team.objects.store, team.objects.prefix(run), name, number, gzip.compress(text.encode()))


@pytest.mark.integration
def test_a_log_is_read_from_a_position(as_user: As, team: Team) -> None:
    run = team.objects.run("logged", {"phase": "Running", "attempts": [{"pod": POD, "phase": "Running"}]})
    path = f"/api/v1/namespaces/{team.namespace}/runs/logged/log"
    client = as_user("dora")
    assert client.get(path).status_code == 404, "there is none yet"
    put(team, run, 1, [f"line {number}" for number in range(1000)])
    first = client.get(path).json()
    assert (len(first["lines"]), first["lines"][-1], first["ended"]) == (following.LINES, "line 999", False)
    assert f"pod {POD}, container train" in first["source"]
    nothing = client.get(path, params={"after": first["position"]}).json()
    assert (nothing["lines"], nothing["position"]) == ([], first["position"])
    put(team, run, 2, ["one", "two"])
    put(team, run, 3, ["three"])
    more = client.get(path, params={"after": first["position"]}).json()
    assert (more["lines"], more["skipped"]) == (["one", "two", "three"], False)
    put(team, run, 4, ["many"] * 1000)
    many = client.get(path, params={"after": more["position"]}).json()
    assert (len(many["lines"]), many["skipped"]) == (following.LINES, True)
    put(team, run, 1, ["x" * 1000] * 299 + ["the end"], attempt=1)
    again = client.get(path, params={"after": many["position"]}).json()
    assert again["lines"][-1] == "the end", "the container has started again"
    assert sum(map(len, again["lines"])) <= following.BYTES
    team.objects.set_status("run.assay.dev", "logged", {"phase": "Failed"})
    assert client.get(path, params={"after": again["position"]}).json()["ended"] is True


@pytest.mark.integration
@pytest.mark.parametrize("position", ["x", "pod:../secrets:2026-03-01T12:00:00.000000000Z:1", "store:a:b:0:-1"])
def test_an_invalid_position_is_refused(as_user: As, team: Team, position: str) -> None:
    name = f"positioned-{len(position)}"
    team.objects.run(name)
    path = f"/api/v1/namespaces/{team.namespace}/runs/{name}/log"
    answer = as_user("dora").get(path, params={"after": position})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "invalid position in a log")


@pytest.mark.integration
@pytest.mark.parametrize("person", ["keyless", "nobody"])
def test_a_log_needs_the_rights_of_the_reader(as_user: As, team: Team, person: str) -> None:
    answer = as_user(person).get(f"/api/v1/namespaces/{team.namespace}/runs/logged/log")
    assert answer.status_code == 403


@pytest.mark.unit
def test_lines_after_a_position_in_a_pods_log() -> None:
    stamps = [f"2026-03-01T12:00:00.00000000{at}Z" for at in (1, 2, 2, 2, 3)]
    lines = list(zip(stamps, "abcde", strict=True))
    after = following._after
    assert "".join(text for _, text in after(lines, "", 0)) == "abcde"
    assert "".join(text for _, text in after(lines, stamps[1], 2)) == "de"
    assert "".join(text for _, text in after(lines, stamps[4], 1)) == ""
