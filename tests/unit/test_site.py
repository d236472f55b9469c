"""The site builds with `--strict`, has every page, and fetches nothing from other hosts."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
#: Attributes whose address a browser fetches by itself, by element. A link that a reader follows is none.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
FOLLOWED_RELATIONS = {"canonical", "next", "prev", "edit", "license"}


class Fetches(HTMLParser):
    """Collects the addresses that a browser fetches for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in FETCHED:
            self.found.append(values.get(FETCHED[tag], ""))
        if tag == "link" and values.get("rel") not in FOLLOWED_RELATIONS:
            self.found.append(values.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_repository_is_on_the_site(site: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(listed.split()) > 25
    for name in listed.split():
        page = Path(name.removeprefix("docs/"))
        folder = page.parent if page.name == "README.md" else page.with_suffix("")
        assert (site / folder / "index.html").is_file(), name


def test_a_file_that_a_page_links_to_is_shown(site: Path) -> None:
    values = (site / "charts/assay/values.yaml/index.html").read_text()
    assert "existingSecret" in values
    assert "charts/assay/values.yaml/" in (site / "install/index.html").read_text()


def test_pages_fetch_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        parser = Fetches()
        parser.feed(page.read_text())
        assert parser.found, page
        assert 'class="mermaid"' not in page.read_text(), f"{page}: the theme fetches what draws it from another host"
        assert [address for address in parser.found if re.match(r"(\w+:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(\w+:)?//|@import", style.read_text()), style
