"""`assay runs --server` prints what `assay runs` prints, through a server with an index that listens on a port."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import generated
from tests.cli.conftest import Answer, run
from tests.server.conftest import Team
from tests.serving import index_served, indexed

pytestmark = pytest.mark.integration

#: Ended ones: how long others have run depends on when they are printed.
ROWS = [row for row in generated.rows(120, seed=3) if row.phase in ("Succeeded", "Failed")][:40]


class Stopped(datetime):
    """A clock that stands still, for the runs would be a second older when they are printed again."""

    _AT = datetime.now(UTC) + timedelta(days=3)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return cls._AT.astimezone(tz)


@pytest.fixture(scope="module")
def address(team: Team) -> Iterator[str]:
    """The address of a server with the index of a team that has 40 runs."""
    asyncio.run(generated.write(team.cluster, team.namespace, ROWS))
    with indexed(team.cluster) as feed, index_served(team.cluster, feed) as address:
        yield address


@pytest.fixture(scope="module")
def assay(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """`assay …` as Dora, who signs in with a token."""
    config: Any = yaml.safe_load(team.cluster.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": team.tokens["dora"]}} for each in config["users"]]
    path: Path = tmp_path_factory.mktemp("dora") / "config"
    path.write_text(yaml.safe_dump(config))

    def command(*argv: str) -> Answer:
        return run(*argv, "--namespace", team.namespace, environment={"KUBECONFIG": str(path)})

    return command


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--sort", "val_f1", "--limit", "7"),
        ("--sort", "name"),
        ("-o", "json", "--sort", "-duration", "--limit", "9"),
        ("-o", "wide", "--reverse"),
        ("-o", "csv", "--where", "params.depth in [2, 3]"),
        ("-o", "yaml", "--where", "metrics.val_f1.best > 0.5 && phase == 'Succeeded'", "--sort", "loss"),
        ("--columns", "owner,params.depth,metrics.loss.min,labels.team"),
        ("--experiment", ROWS[0].experiment),
        ("--where", "metrics.val_f2.best > 1"),
        ("--where", "phase"),
        ("--sort", "nothing"),
        ("--experiment", "nothing"),
        ("--where", "phase == 'Nothing'"),
    ],
    ids=" ".join,
)
def test_it_prints_the_same_bytes(
    assay: Callable[..., Answer], address: str, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.cli.output.sheets.datetime", Stopped)
    directly, by_server = assay("runs", *argv), assay("runs", *argv, "--server", address)
    assert (by_server.code, by_server.out, by_server.err) == (directly.code, directly.out, directly.err)


def test_a_token_is_never_sent_in_plain_text(assay: Callable[..., Answer]) -> None:
    answer = assay("runs", "--server", "http://assay.example.com")
    assert answer.code == 2
    assert "your token is sent there" in answer.err


def test_a_client_certificate_is_not_accepted_as_a_token(team: Team, address: str) -> None:
    environment = {"KUBECONFIG": str(team.cluster.kubeconfig)}
    answer = run("runs", "--server", address, "--namespace", team.namespace, environment=environment)
    assert answer.code == 2
    assert "--server needs a token" in answer.err
