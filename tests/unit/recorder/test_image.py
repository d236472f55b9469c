"""Images are untrusted: links that lead out, pipes, link loops, millions of files."""

import os
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.recorder.image import Budget, Folder, Image, TooMuch

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    found = tmp_path / "image"
    (found / "etc").mkdir(parents=True)
    (found / "etc/os-release").write_text("ID=debian\n")
    return found


def image(root: Path, **budget: float) -> Image:
    return Image(str(root), Budget(**budget))  # type: ignore[arg-type]


def everything(found: Image) -> list[Folder]:
    return list(found.walk(lambda folder, name: True))


@pytest.mark.parametrize("target", ["/etc/os-release", "../etc/os-release", "../../../../../etc/os-release"])
def test_links_are_followed_inside_the_image(root: Path, target: str) -> None:
    (root / "lib").mkdir()
    (root / "lib/release").symlink_to(target)
    assert image(root).read("/lib/release", 100) == b"ID=debian\n"


@pytest.mark.parametrize("target", ["../secret", "/secret", "../../secret", "{outside}", "/proc/self/root{outside}"])
def test_links_never_escape_the_image(root: Path, target: str) -> None:
    outside = str(root.parent / "secret")
    (root / "file").symlink_to(target.format(outside=outside))
    (root / "folder").symlink_to(str(root.parent))
    found = image(root)
    assert found.read("file", 100) == b""
    assert found.read("folder/secret", 100) == b""
    assert found.names("folder") == []


def test_link_loops_and_long_paths_are_not_resolved(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "grows").symlink_to("grows/x/" * 200 + "y")
    found = image(root)
    assert found.resolve("a") is None
    assert found.resolve("grows") is None
    assert found.read("a", 10) == found.read("grows", 10) == b""


@pytest.mark.timeout(20)
def test_only_regular_files_are_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    found = image(root)
    assert [found.read(name, 10) for name in ("pipe", "folder", "absent", "")] == [b""] * 4


def test_reads_are_limited(root: Path) -> None:
    with (root / "large").open("wb") as file:
        file.truncate(1 << 40)
    assert len(image(root).read("large", 1000)) == 1000


def test_a_walk_follows_no_links_and_terminates(root: Path) -> None:
    (root / "etc/self").symlink_to("/")
    (root / "etc/below").mkdir()
    assert [folder.path for folder in everything(image(root))] == ["", "etc", "etc/below"]


def test_the_depth_of_a_walk_is_limited(root: Path) -> None:
    deep = root.joinpath(*["d"] * 60)
    deep.mkdir(parents=True)
    assert max(len(PurePosixPath(folder.path).parts) for folder in everything(image(root))) < 20


def test_unreadable_folders_are_listed(root: Path) -> None:
    (root / "closed").mkdir(mode=0o000)
    found = image(root)
    everything(found)
    assert found.closed == ([] if os.geteuid() == 0 else ["/closed"])


def test_a_huge_folder_exhausts_the_budget_not_the_memory(root: Path) -> None:
    for number in range(300):
        (root / f"file{number}").touch()
    with pytest.raises(TooMuch, match="it has too many files"):
        everything(image(root, entries=100))
    with pytest.raises(TooMuch, match="it has too many packages"):
        image(root, reads=0).read("etc/os-release", 10)


def test_the_time_limit_exhausts_the_budget(root: Path) -> None:
    found = image(root, seconds=0)
    time.sleep(0.01)
    with pytest.raises(TooMuch, match="it could not be read within 0 s"):
        everything(found)


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_is_not_an_image(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "image").mkdir()
    assert not image(tmp_path / "image").mounted


parts = st.sampled_from(["a", "b", "..", ".", "", "c"])
paths = st.lists(parts, max_size=6).map("/".join)
links = st.dictionaries(st.sampled_from(["a", "b", "c", "a/b", "b/c"]), paths.filter(bool), max_size=5)


def plant(root: Path, tree: dict[str, str]) -> None:
    """Create links below a folder, except those that would be outside it behind another link."""
    for name, target in tree.items():
        at = root / name
        if not Path(os.path.realpath(at.parent)).is_relative_to(os.path.realpath(root)):
            continue
        with suppress(OSError):  # what one link takes another cannot have
            at.parent.mkdir(exist_ok=True)
            at.symlink_to(target)


def test_links_are_created_only_below_their_own_folder(tmp_path: Path) -> None:
    root = tmp_path / "image"
    root.mkdir()
    plant(root, {"a": "..", "a/b": "a", "b": "../..", "b/c": "c", "c": "./c/a"})
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    assert sorted(path.name for path in root.iterdir()) == ["a", "b", "c"]


@given(links, paths)
@settings(max_examples=200)
def test_a_resolved_path_is_inside_and_has_no_link(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str], path: str
) -> None:
    folder = tmp_path_factory.mktemp("image")
    root = folder / "root"
    root.mkdir()
    plant(root, tree)
    assert [each.name for each in folder.iterdir()] == ["root"]
    found = image(root).resolve(path)
    if found is None:
        return
    assert not any(part in ("", ".", "..") for part in found.split("/")) or found == ""
    at = root
    for part in filter(None, found.split("/")):
        at = at / part
        assert not at.is_symlink(), f"{path} leads to {found}, of which {at} is a link"
