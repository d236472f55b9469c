"""What browsers load: vendored files as they were published, and little enough of it."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from assay.server.pages import assets, site

pytestmark = pytest.mark.unit

VENDOR = assets.FOLDER / "vendor"
LOCK = json.loads((VENDOR / "lock.json").read_text())
TEMPLATES = sorted((Path(site.__file__).parent / "templates").glob("*.html"))
SCRIPTS = sorted(assets.FOLDER.glob("*.js"))
_CODE = re.compile(r"\.(innerHTML|outerHTML|insertAdjacentHTML)|\beval\(|new Function|document\.write")


def test_vendored_files_are_unmodified() -> None:
    locked = {each["file"]: each["sha256"] for package in LOCK for each in package["files"]}
    there = {path.name for path in VENDOR.iterdir()} - {"lock.json"}
    assert there == set(locked)
    for name, digest in locked.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_each_vendored_package_states_its_origin_and_licence() -> None:
    for package in LOCK:
        assert package["name"]
        assert package["version"]
        assert package["licence"] in ("MIT", "0BSD")
        assert package["integrity"].startswith("sha512-")


def test_pages_load_less_than_100_kilobytes_of_script() -> None:
    assert sum(path.stat().st_size for path in assets.FOLDER.rglob("*.js")) < 100_000


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_inline_script_or_style(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert "| safe" not in text
    assert "Markup" not in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_html_in_one_place_only(path: Path) -> None:
    text = path.read_text()
    assert not _CODE.search(text)
    assert ("parseFromString" in text) == (path.name == "live.js")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    subprocess.run([node, "--input-type=module", "--check"], input=path.read_text(), text=True, check=True)


def test_scripts_have_the_types_that_they_state() -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("no tsc here: `npm install --global typescript`")
    options = "--noEmit --allowJs --checkJs --strict --target es2022 --module es2022 --moduleResolution bundler"
    command = [compiler, *options.split(), "--lib", "es2022,dom,dom.iterable", *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
