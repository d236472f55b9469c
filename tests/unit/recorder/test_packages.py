"""Detection of installed packages, in synthetic images with the layout of real ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.recorder import packages
from assay.recorder.image import Budget, Image
from assay.recorder.packages import Installed, installed, normal

pytestmark = pytest.mark.unit


class Tree:
    """A synthetic image."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str | bytes = "") -> None:
        at = self.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(text.encode() if isinstance(text, str) else text)

    def package(self, folder: str, name: str, version: str, **more: object) -> None:
        base = f"{folder}/{name.replace('-', '_')}-{version}.dist-info"
        self.write(f"{base}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 0\n")
        for file, content in more.items():
            self.write(f"{base}/{file}.json", json.dumps(content))

    def link(self, path: str, target: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(target)

    def look(self) -> Installed:
        return installed(Image(str(self.root), Budget()))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def told(found: Installed) -> list[tuple[str, str, int]]:
    return [(prefix.name, prefix.python, len(prefix.packages)) for prefix in found.prefixes]


def test_a_virtual_environment(tree: Tree) -> None:
    site = "opt/venv/lib/python3.11/site-packages"
    tree.package(site, "scikit-learn", "1.5.2")
    tree.package(site, "Typing_Extensions", "4.12")
    tree.write("opt/venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n")
    tree.link("opt/venv/lib64", "lib")
    found = tree.look()
    assert found.packages == {"scikit-learn": "1.5.2", "typing-extensions": "4.12"}
    assert (told(found), found.python, found.problem) == ([("/opt/venv", "3.11.2", 2)], "3.11.2", "")


@pytest.mark.parametrize("line", ["version_info = 3.12.4", "version_info = 3.12.4.final.0", "version = 3.12.4"])
def test_other_makers_of_virtual_environments(tree: Tree, line: str) -> None:
    tree.package("app/.venv/lib/python3.12/site-packages", "torch", "2.4")
    tree.write("app/.venv/pyvenv.cfg", line)
    assert tree.look().python == "3.12.4"


def test_python_of_the_official_image(tree: Tree) -> None:
    tree.package("usr/local/lib/python3.12/site-packages", "pip", "24.0")
    tree.write("usr/local/include/python3.12/patchlevel.h", '#define PY_VERSION             "3.12.7+"\n')
    assert told(tree.look()) == [("/usr/local", "3.12.7", 1)]


def test_python_of_debian(tree: Tree) -> None:
    status = "Package: python3\nVersion: 3.9.0\n\nPackage: python3.11-minimal\nStatus: ok\nVersion: 3.11.2-6+deb12u6\n"
    tree.write("var/lib/dpkg/status", status)
    tree.link("usr/bin/python3", "python3.11")
    tree.package("usr/lib/python3/dist-packages", "six", "1.16.0")
    tree.package("usr/local/lib/python3.11/dist-packages", "numpy", "2.1")
    tree.package("usr/local/lib/python3.11/dist-packages", "pandas", "2.2")
    assert told(tree.look()) == [("/usr/local", "3.11.2", 2), ("/usr", "3.11.2", 1)]


def test_python_of_alpine(tree: Tree) -> None:
    tree.write("lib/apk/db/installed", "C:x\nP:musl\nV:1.2\n\nC:y\nP:python3\nV:3.12.3-r1\n")
    tree.package("usr/lib/python3.12/site-packages", "pip", "24.0")
    assert told(tree.look()) == [("/usr", "3.12.3", 1)]


def test_conda(tree: Tree) -> None:
    tree.write("opt/conda/conda-meta/python-3.11.9-h955ad1f_0.json", "{}")
    tree.write("opt/conda/conda-meta/cuda-cudart-12.4.127-0.json", "{}")
    tree.write("opt/conda/conda-meta/history", "")
    tree.package("opt/conda/lib/python3.11/site-packages", "numpy", "2.0")
    tree.package("opt/conda/pkgs/numpy-1.9/lib/python3.11/site-packages", "numpy", "1.9")
    found = tree.look()
    assert found.conda == {"python": "3.11.9=h955ad1f_0", "cuda-cudart": "12.4.127=0"}
    assert (told(found), found.packages) == ([("/opt/conda", "3.11.9", 1)], {"numpy": "2.0"})


def test_packages_of_old_and_unusual_installers(tree: Tree) -> None:
    site = "usr/local/lib/python3.11/site-packages"
    tree.write(f"{site}/Old_Style-1.0-py3.11.egg-info", "Name: Old_Style\nVersion: 1.0\n")
    tree.write(f"{site}/setup.py-2.egg-info/PKG-INFO", "Name: setup.py\nVersion: 2\n")
    tree.write(f"{site}/silent-3.dist-info/RECORD")
    tree.package("srv/vendored", "targeted", "0.1")
    tree.package(
        site, "mine", "1.2", direct_url={"url": "https://me:token@host/x", "vcs_info": {"commit_id": "ab" * 20}}
    )
    tree.package(site, "here", "1.3", direct_url={"url": "file:///app", "dir_info": {"editable": True}})
    assert tree.look().packages == {
        "here": "1.3 (editable)",
        "mine": f"1.2 (commit {'ab' * 20})",
        "old-style": "1.0",
        "setup-py": "2",
        "silent": "3",
        "targeted": "0.1",
    }


def test_a_package_in_two_versions_is_listed_with_its_prefixes(tree: Tree) -> None:
    tree.package("opt/a/lib/python3.11/site-packages", "numpy", "2.0")
    tree.package("opt/a/lib/python3.11/site-packages", "scipy", "1.0")
    tree.package("opt/b/lib/python3.11/site-packages", "numpy", "1.0")
    assert tree.look().packages == {"numpy": "2.0 (/opt/a), 1.0 (/opt/b)", "scipy": "1.0"}


def test_caches_and_documentation_are_not_read(tree: Tree) -> None:
    tree.package("root/.cache/uv/archive-v0/x", "cached", "1")
    tree.package("usr/share/python-wheels", "shared", "1")
    tree.package("proc/1/root", "running", "1")
    assert tree.look().packages == {}


def test_the_distribution_behind_its_usual_link(tree: Tree) -> None:
    tree.write(
        "usr/lib/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nOTHER=1\n'
    )
    tree.link("etc/os-release", "../usr/lib/os-release")
    assert tree.look().os == {"name": "Debian GNU/Linux 12 (bookworm)", "id": "debian", "version": "12"}


def test_cuda_behind_its_usual_links(tree: Tree) -> None:
    tree.write("usr/local/cuda-12.4/version.json", json.dumps({"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}))
    tree.link("usr/local/cuda", "/etc/alternatives/cuda")
    tree.link("etc/alternatives/cuda", "/usr/local/cuda-12.4")
    tree.write("usr/lib/x86_64-linux-gnu/libcudnn.so.9.1.0")
    assert tree.look().cuda == {"toolkit": "12.4.1", "cudnn": "9.1.0"}


def test_cuda_before_version_11(tree: Tree) -> None:
    tree.write("usr/local/cuda/version.txt", "CUDA Version 10.2.89\n")
    assert tree.look().cuda == {"toolkit": "10.2.89"}


def test_an_image_without_python_has_no_packages(tree: Tree) -> None:
    tree.write("bin/server", b"\x7fELF")
    assert tree.look() == Installed()


def test_a_too_large_image_gives_a_partial_result_and_a_problem(tree: Tree) -> None:
    tree.package("opt/venv/lib/python3.11/site-packages", "torch", "2.4")
    tree.write("opt/venv/pyvenv.cfg", "version = 3.11.2")
    for number in range(200):
        tree.write(f"data/a/b/c/d/{number}")
    found = installed(Image(str(tree.root), Budget(entries=100)))
    assert found.problem == "the image was not read completely: it has too many files"
    assert (told(found), found.packages) == ([("/opt/venv", "3.11.2", 1)], {"torch": "2.4"})


def test_the_number_of_packages_is_limited(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_PACKAGES", 3)
    for number in range(9):
        tree.package("usr/lib/python3.12/site-packages", f"p{number}", "1")
    assert len(tree.look().packages) == 3


odd = st.binary(max_size=60) | st.sampled_from(
    [b"Name: a\nVersion: 1\n", b"Name: \nVersion: \x00\n", b"Name: a b\n\n", b"{}", b"[" * 50]
)


@given(metadata=odd, url=odd, cfg=odd, release=odd, cuda=odd, status=odd)
@settings(max_examples=60)
def test_inspection_survives_any_image_content(
    tmp_path_factory: pytest.TempPathFactory,
    metadata: bytes,
    url: bytes,
    cfg: bytes,
    release: bytes,
    cuda: bytes,
    status: bytes,
) -> None:
    tree = Tree(tmp_path_factory.mktemp("image"))
    site = "opt/v/lib/python3.12/site-packages/x-1.dist-info"
    for path, content in {
        f"{site}/METADATA": metadata,
        f"{site}/direct_url.json": url,
        "opt/v/pyvenv.cfg": cfg,
        "etc/os-release": release,
        "usr/local/cuda/version.json": cuda,
        "var/lib/dpkg/status": status,
    }.items():
        tree.write(path, content)
    found = tree.look()
    assert found.problem == ""
    assert all(name == normal(name) and version.isprintable() for name, version in found.packages.items())
    json.dumps([found.packages, found.os, found.cuda, told(found)])
