"""The cache of runs: what it stores, who can read it, and that a damaged one is ignored."""

import json
import stat
from pathlib import Path

import pytest

from assay.queries.runs.cache import CachedRuns, RunCache
from tests.unit.queries.runs import row

pytestmark = pytest.mark.unit

CACHED: CachedRuns = {"a": ("1", row("a")), "b": ("2", row("b", parameters={"x": "ü😀"}))}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCache:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return RunCache("https://server", "ns")


def _file(folder: Path) -> Path:
    (file,) = folder.rglob("runs.json")
    return file


def test_cached_runs_are_loaded_for_the_same_server_and_namespace(cache: RunCache, tmp_path: Path) -> None:
    assert cache.load() == {}
    cache.save(CACHED)
    assert cache.load() == CACHED
    assert list(cache.load()) == list(CACHED)
    assert RunCache("https://server", "other").load() == {}
    assert RunCache("https://other", "ns").load() == {}
    cache.save({})
    assert cache.load() == {}
    assert len(list(_file(tmp_path).parent.iterdir())) == 1


def test_only_the_user_can_read_the_cache(cache: RunCache, tmp_path: Path) -> None:
    cache.save(CACHED)
    file = _file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"a": 1}',
        '{"a": ["1"]}',
        '{"a": ["1", {}]}',
        '{"a": ["1", "x"]}',
        "\udcff",
        "[" * 9999,
    ],
)
def test_an_unreadable_cache_is_ignored(cache: RunCache, tmp_path: Path, text: str) -> None:
    cache.save(CACHED)
    _file(tmp_path).write_bytes(text.encode(errors="surrogateescape"))
    assert cache.load() == {}
    cache.save(CACHED)
    assert cache.load() == CACHED


def test_rows_of_another_version_are_not_read(cache: RunCache, tmp_path: Path) -> None:
    cache.save(CACHED)
    found = json.loads(_file(tmp_path).read_text())
    del found["b"][1]["owner"]
    _file(tmp_path).write_text(json.dumps(found))
    assert cache.load() == {}


def test_a_cache_that_cannot_be_written_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache = RunCache("https://server", "ns")
    cache.save(CACHED)
    assert cache.load() == {}
