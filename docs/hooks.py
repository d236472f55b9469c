"""Adds to the site what pages link to outside of docs/: the README, CONTRIBUTING.md, the examples and single files.

Links in Markdown are paths in the repository, so that they work in a checkout and on a Git server. On the site each
page lies where it lies in the repository, without `docs/`; a file that is not Markdown becomes a page that shows it.
Nothing here writes to the repository.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: Code, which is skipped, or the target of a link.
_CODE_OR_LINK = re.compile(r"```.*?```|`[^`\n]*`|(?<=\]\()[^)\s]+(?=\))", re.DOTALL)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".sh": "sh"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of docs/ that can be reached by links, beginning with every page and the README."""
    root = Path(config.config_file_path).parent
    ahead = ["README.md", "CONTRIBUTING.md", *(_source(each.src_uri) for each in files.documentation_pages())]
    seen = set(ahead)
    while ahead:
        path = ahead.pop()
        if not path.startswith("docs/"):
            files.append(File.generated(config, _uri(path), content=_content(root, path)))
        found = {_resolve(root, path, link) for link in _links(root, path)} - seen
        seen |= found
        ahead += sorted(found)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to paths in the repository into links between pages of the site."""
    root = Path(config.config_file_path).parent
    path, folder = _source(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def rewrite(link: str) -> str:
        target = _resolve(root, path, link)
        if files.get_file_from_path(_uri(target)) is None:
            return link  # `--strict` reports it
        return posixpath.relpath(_uri(target), folder or ".") + "".join(link.partition("#")[1:])

    return _over_links(markdown, rewrite)


def _over_links(markdown: str, change: Callable[[str], str]) -> str:
    """Replace the target of every link that is a path; leave code, addresses and anchors of the same page."""

    def replace(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith(("`", "#")) or "://" in found[0] else change(found[0])

    return _CODE_OR_LINK.sub(replace, markdown)


def _links(root: Path, path: str) -> list[str]:
    """Return the links of a page to files that exist; `--strict` reports the others."""
    if not path.endswith(".md"):
        return []
    found: list[str] = []

    def collect(link: str) -> str:
        found.append(link)
        return link

    _over_links((root / path).read_text(), collect)
    return [link for link in found if (root / _resolve(root, path, link)).is_file()]


def _resolve(root: Path, page: str, link: str) -> str:
    """Return the path in the repository of what a link of a page leads to; of a folder its README."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link.partition("#")[0]))
    return f"{path}/README.md" if (root / path).is_dir() else path


def _source(uri: str) -> str:
    """Return the path in the repository of a page of the site."""
    outside = uri in ("README.md", "CONTRIBUTING.md", "LICENSE.md") or uri.startswith(("examples/", "charts/"))
    return uri if outside else f"docs/{uri}"


def _uri(path: str) -> str:
    """Return the path on the site of a file of the repository."""
    path = path.removeprefix("docs/")
    return path if path.endswith((".md", ".png", ".svg", ".json")) else f"{path}.md"


def _content(root: Path, path: str) -> str:
    text = (root / path).read_text()
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n~~~~~~ {_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n~~~~~~\n"
