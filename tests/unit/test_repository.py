"""What holds for the repository as a whole: its layout, what may not stand in it, and that the README is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

TOP_LEVEL = {
    *("pyproject.toml", "README.md", "CONTRIBUTING.md", "Dockerfile", "Makefile", "LICENSE", "mkdocs.yml"),
    *("operator", "crds", "charts", "tests", "examples", "docs"),
}

# In pieces, so that this file does not hold what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("docker", "io"),
        ("registry", "k8s", "io"),
        ("quay", "io"),
        ("ghcr", "io"),
        ("gcr", "io"),
        ("registry", "npmjs", "org"),
        ("dl", "min", "io"),
    )
]
MACHINE_PATHS = ["/" + folder for folder in ("root/", "work/", "home/[a-z]", "Users/[a-z]")]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in _tracked():
        lines = path.read_text(errors="replace").splitlines()
        numbered = ((number, line) for number, line in enumerate(lines, 1) if pattern.search(line))
        found += [f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}" for number, line in numbered]
    return found


def test_the_top_level_contains_only_the_documented_folders_and_dotfiles() -> None:
    tops = {path.relative_to(ROOT).parts[0] for path in _tracked()}
    assert {top for top in tops if not top.startswith(".")} == TOP_LEVEL


def test_the_operator_folder_is_not_a_package() -> None:
    """It would shadow the standard library's `operator` for everything that has the checkout on its path."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    program = "import operator; print(operator.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).is_relative_to(ROOT / "operator")


def test_no_registry_is_named() -> None:
    hosts = "|".join(re.escape(host) for host in REGISTRIES)
    assert _lines_with(re.compile(rf"(?<![\w.-])(?:[\w-]+\.)*(?:{hosts})(?![\w-])")) == []


def test_no_file_contains_a_local_machine_path() -> None:
    shown = [rf"(?<![\w.~}}$/]){path}" for path in MACHINE_PATHS]
    assert _lines_with(re.compile("|".join([re.escape(f"{ROOT}/"), *shown]))) == []


def test_every_make_target_of_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {str(path.relative_to(ROOT)): _make_targets(path.read_text()) for path in _pages()}
    assert {"demo", "test", "demo-down"} <= named["README.md"]
    assert set().union(*named.values()) <= targets


def _make_targets(text: str) -> set[str]:
    """Return what a page says after `make`, in code."""
    code = re.findall(r"```sh\n(.*?)```|`([^`\n]*)`", text, re.DOTALL)
    shown = [words for pair in code for words in re.findall(r"^make ((?:[a-z-]+ ?)+)", "\n".join(pair).strip(), re.M)]
    return {target for words in shown for target in words.split()}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def _pages() -> list[Path]:
    return [path for path in _tracked() if path.suffix == ".md"]


def _links(page: Path) -> list[str]:
    """Return the targets of a page's links, but for those that lead out of the repository and those in code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target]


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and static sites make them."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.+?)\s*$", prose, re.MULTILINE)]
    return {slug.replace(" ", "-") for slug in slugs}


def test_every_link_has_a_target() -> None:
    broken = []
    for page in _pages():
        for link in _links(page):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        found = ahead.pop()
        page = found / "README.md" if found.is_dir() else found
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            ahead += [(page.parent / link.partition("#")[0]).resolve() for link in _links(page)]
    assert [str(page.relative_to(ROOT)) for page in _pages() if page not in seen] == []


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    manifest = (ROOT / "examples" / "quickstart" / "experiment.yaml").read_text()
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown
    lines = [line for line in shown[1].splitlines() if "…" not in line]
    assert len(lines) > 10
    for line in lines:
        assert line in manifest.splitlines(), line


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text()
    assert "make lint test" in commands
    assert ".ci/install" in commands
    for script in ("run", "install"):
        path = ROOT / ".ci" / script
        assert path.stat().st_mode & 0o111
        subprocess.run(["bash", "-n", path], check=True)
