"""`assay runs` in a namespace with 20,000 runs, and that its cache is never stale.

How long it takes is printed, and asserted nowhere: `python -m tests.benchmarks runs` measures it.
"""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.cli.session import Session
from assay.queries.runs import reading
from assay.queries.runs.rows import RunRow, of_run
from tests import generated, registry
from tests.cli.conftest import Answer, run_process
from tests.cluster import calls
from tests.cluster.local import LocalCluster
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

MANY = 5_000
#: What an external cluster, which has to be asked for each, makes in the same time.
SOME = 1_500
WHERE = 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.85 && params.depth in [2, 3]'


@pytest.fixture(scope="module")
def rows(governed: Cluster) -> list[generated.GeneratedRun]:
    return list(generated.rows(MANY if isinstance(governed, LocalCluster) else SOME))


@pytest.fixture(scope="module")
def many(governed: Cluster, rows: list[generated.GeneratedRun]) -> Iterator[str]:
    """The namespace with all of them."""
    name = f"many-{secrets.token_hex(4)}"
    governed.create_namespace(name)
    if isinstance(governed, LocalCluster):
        asyncio.run(generated.fill(governed, name, rows))
    else:
        asyncio.run(generated.write(governed, name, rows))
    yield name
    if isinstance(governed, LocalCluster):
        generated.clear(governed, name)
    governed.delete_namespace(name)


@pytest.fixture(scope="module")
def assay(governed: Cluster, many: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """`assay …` in that namespace, with a cache of its own."""
    folder = str(tmp_path_factory.mktemp("cache"))

    def command(*argv: str) -> Answer:
        environment = {"KUBECONFIG": str(governed.kubeconfig), "XDG_CACHE_HOME": folder}
        began = time.monotonic()
        answer = run_process(*argv, "--namespace", many, environment=environment)
        print(f"assay {' '.join(argv)[:60]}: {time.monotonic() - began:.2f} s, {len(answer.out)} characters")
        return answer

    return command


def _names(answer: Answer) -> list[str]:
    return [each["name"] for each in answer.json()["items"]]


def _wanted(rows: list[generated.GeneratedRun]) -> list[str]:
    found = [
        row
        for row in rows
        if row.version == "2.1"
        and row.parameters["depth"] in (2, 3)
        and row.metrics.get("val_f1", {}).get("best", 0) > 0.85
    ]
    return [row.name for row in sorted(found, key=lambda row: (-row.metrics["val_f1"]["best"], row.name))]


def _change(cluster: Cluster, namespace: str, verb: str, name: str, value: str = "x") -> None:
    """Create, delete or change a run."""
    manifest = json.dumps(registry.run(name, parameters={"value": value}))
    argv: dict[str, tuple[str, ...]] = {
        "create": ("create", "--filename=-"),
        "delete": ("delete", "run.assay.dev", name, "--ignore-not-found"),
        "label": ("label", "run.assay.dev", name, f"value={value}", "--overwrite"),
        "status": (
            *registry.AS_OPERATOR,
            *("patch", "run.assay.dev", name, "--subresource=status", "--type=merge"),
            f"--patch={json.dumps({'status': {'phase': 'Running', 'message': value}})}",
        ),
    }
    cluster.kubectl("-n", namespace, *argv[verb], stdin=manifest if verb == "create" else None)


def test_a_filter_agrees_with_python_with_and_without_the_cache(
    assay: Callable[..., Answer], rows: list[generated.GeneratedRun], governed: Cluster, many: str
) -> None:
    argv = ("runs", "--where", WHERE, "--sort", "val_f1", "-o", "json")
    wanted = _wanted(rows)
    assert len(wanted) > 10
    assert _names(assay(*argv)) == wanted
    assert _names(assay(*argv)) == wanted
    assert _names(assay(*argv, "--no-cache")) == wanted
    first = assay("runs", "--sort", "name", "--limit", "5").lines
    assert [line.split()[0] for line in first] == ["RUN", *sorted(row.name for row in rows)[:5]]
    _change(governed, many, "delete", wanted[0])
    _change(governed, many, "label", wanted[2], "seen")
    assert _names(assay(*argv)) == wanted[1:]
    labelled = assay("runs", "--where", "has(tags.value) && tags.value == 'seen'", "-o", "json")
    assert _names(labelled) == [wanted[2]]
    assert len(_names(assay("runs", "-o", "json"))) == len(rows) - 1


def test_the_cache_is_not_shown_without_the_right_to_list_runs(assay: Callable[..., Answer]) -> None:
    assert assay("runs", "--limit", "1").code == 0
    refused = assay("runs", "--limit", "1", "--as", "nobody")
    assert (refused.code, refused.out) == (4, "")


# What is kept is never stale

_VERBS = st.sampled_from(("create", "delete", "label", "status"))
_STEPS = st.lists(st.tuples(_VERBS, st.integers(0, 4), st.booleans()), min_size=1, max_size=6)


class _Kept:
    """Reads one namespace with the cache, and counts how often it was read whole."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.whole = self.looks = 0

    def look(self) -> list[RunRow]:
        """Return the rows as the command has them."""
        session = Session(kubeconfig=str(self.cluster.kubeconfig), namespace_option=self.namespace)
        self.looks += 1
        return [row for page in reading.read(session) for row in page]

    def true(self) -> list[RunRow]:
        """Return the rows as the API server has them."""
        return reading.timed(of_run(each) for each in calls.many(self.cluster, self.namespace, "runs"))


@pytest.fixture(scope="module")
def kept(governed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Kept]:
    name = f"kept-{secrets.token_hex(4)}"
    governed.create_namespace(name)
    found = _Kept(governed, name)
    pages = reading._pages

    def counted(*arguments: Any) -> Any:
        found.whole += 1
        return pages(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(reading, "_WORTH_CACHING", 1)
        patch.setattr(reading, "_pages", counted)
        for run_ in ("always", "unchanged"):
            _change(governed, name, "create", run_)
        yield found
    governed.delete_namespace(name)


def _comparable(rows: list[RunRow]) -> list[dict[str, Any]]:
    return [{**row, "duration": None} for row in rows]


@settings(max_examples=10)
@given(steps=_STEPS)
def test_the_cache_is_never_stale(kept: _Kept, steps: list[Any]) -> None:
    for verb, number, looks in steps:
        there = {row["name"] for row in kept.true()}
        name = f"r-{number}"
        if (name in there) != (verb == "create"):
            _change(kept.cluster, kept.namespace, verb, name, secrets.token_hex(2))
        if looks:
            assert _comparable(kept.look()) == _comparable(kept.true())
    assert _comparable(kept.look()) == _comparable(kept.true())


def test_only_changed_runs_are_read_again(kept: _Kept) -> None:
    kept.look()
    before = kept.whole
    _change(kept.cluster, kept.namespace, "label", "always", secrets.token_hex(2))
    assert _comparable(kept.look()) == _comparable(kept.true())
    assert kept.whole == before


def test_rows_of_another_cluster_at_the_same_address_are_ignored(kept: _Kept, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept.look()
    (file,) = tmp_path.rglob("runs.json")
    found = json.loads(file.read_text())
    for _, row in found.values():
        row.update(uid="another", owner="mallory")
    file.write_text(json.dumps(found))
    assert _comparable(kept.look()) == _comparable(kept.true())


def test_after_many_changes_all_runs_are_read_again(kept: _Kept, monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, "_FEW_CHANGES", 0)
    kept.look()
    before = kept.whole
    chance = random.Random(0)
    for name in [row["name"] for row in kept.true()]:
        _change(kept.cluster, kept.namespace, "status", name, f"{chance.random()}")
    assert _comparable(kept.look()) == _comparable(kept.true())
    assert kept.whole == before + 1
