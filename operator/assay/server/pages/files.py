"""A run's files: downloads, and pages that show them.

A file is what a training pod wrote: an attacker's input, which nothing here runs. Images and text are shown in the
browser; everything else is a download. All of it is sandboxed, without an origin. Tables come as text of a template.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from assay.api.errors import ObjectNotFound
from assay.queries.files import listing
from assay.queries.files.listing import File, Stored
from assay.server.pages import previews
from assay.server.pages.site import Page, Visit
from assay.store import layout

#: Images by their first bytes: the name of a file says nothing. SVG is not among them, it has scripts.
_IMAGES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"),
                  (b"RIFF", "image/webp"))  # fmt: skip
_TEXTS: Final = (".txt", ".log", ".csv", ".json", ".jsonl", ".yaml", ".yml", ".md", ".py")
SANDBOX: Final = "sandbox; default-src 'none'"


def show(visit: Visit) -> Page:
    """Show one file of a run's record on a page: an image, a table, a confusion matrix or text."""
    stored, file = _file(visit)
    found = previews.of_file(file.path, _beginning(visit, stored, file), whole=file.size <= previews.BYTES)
    values = {
        "run": stored.name,
        "run_link": visit.link("runs", stored.name),
        "file": file,
        "name": stored.shown(file.path),
        "link": address(visit, stored.name, "files", file.path),
        "found": found,
    }
    return Page("file.html", f"{stored.shown(file.path)} of {stored.name}", values, "runs")


def address(visit: Visit, run: str, what: str, path: str) -> str:
    """Return the address of a file: ``what`` is "files" for its bytes, "show" for its page."""
    return visit.link("runs", run, what) + "/" + "/".join(quote(part, safe="") for part in path.split("/"))


def _file(visit: Visit) -> tuple[Stored, File]:
    """Return the file of the address. Raises ObjectNotFound unless the record lists it."""
    stored = listing.find(visit.person, visit.path["run"])
    path = visit.path["path"]
    file = next((each for each in stored.files if each.path == path), None)
    if file is None or file.expired:
        raise ObjectNotFound(f"{stored.name} has no file {path}" if file is None else f"{path} expired and was deleted")
    return stored, file


def _beginning(visit: Visit, stored: Stored, file: File) -> bytes:
    if previews.kind_of(file.path) in ("", "image"):
        return b""
    found = b""
    for chunk in visit.person.store.read_chunks(layout.key(stored.prefix, file.path)):
        found += chunk
        if len(found) >= previews.BYTES:
            break
    return found[: previews.BYTES]


def download(visit: Visit) -> Response:
    """Return one file of a run's record. Only files that the record lists can be asked for."""
    stored, file = _file(visit)
    path = file.path
    chunks = visit.person.store.read_chunks(layout.key(stored.prefix, file.path))
    head = next(chunks, b"")
    kind = _kind(path, head) if visit.query.get("inline") else ""
    name = quote(path.rpartition("/")[2], safe="")
    place = "inline" if kind else "attachment"
    headers = {
        "content-disposition": f"{place}; filename*=UTF-8''{name}",
        "content-security-policy": SANDBOX,
        "content-length": str(file.size),
    }
    return StreamingResponse(_closing(head, chunks), media_type=kind or "application/octet-stream", headers=headers)


def _kind(path: str, head: bytes) -> str:
    """Return the type of a file that is safe to show, "" for others."""
    image = next((kind for start, kind in _IMAGES if head.startswith(start)), "")
    if image == "image/webp" and head[8:12] != b"WEBP":
        image = ""
    return image or ("text/plain; charset=utf-8" if path.lower().endswith(_TEXTS) else "")


def _closing(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chain((head,), chunks)
