"""Files of runs and versions, listed and downloaded. They are input of attackers: no browser shows one as a page."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse

from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw
from assay.queries.files import listing
from assay.queries.files.listing import File, Stored
from assay.server.mlflow.calls import Call
from assay.store import layout

HEADERS = {
    "content-disposition": "attachment",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}


def of_run(call: Call) -> Raw:
    """Return the files of a run in a folder, as `artifacts/list` does: with paths from its artifacts on."""
    name = call.need("run_id", "run_uuid")
    found, folder = listing.find(call.person, name), str(call.get("path") or "").strip("/")
    files = [{**each, "path": f"{folder}/{each['path']}" if folder else each["path"]} for each in _in(found, folder)]
    return {"root_uri": f"mlflow-artifacts:/runs/{name}/artifacts", "files": files}


def of_address(call: Call) -> Raw:
    """Return the files in a folder of an address `mlflow-artifacts:/…`, with paths from that folder on."""
    found, folder = _located(call, str(call.get("path") or ""))
    return {"files": _in(found, folder)}


def download(call: Call, path: str) -> Response:
    """Return the bytes of one file."""
    found, wanted = _located(call, path)
    for file in found.artifact_files:
        if found.shown(file.path) == wanted:
            return StreamingResponse(_bytes(call, found, file), media_type="application/octet-stream", headers=HEADERS)
    raise ObjectNotFound(f"{found.name} has no file {wanted}")


def _bytes(call: Call, found: Stored, file: File) -> Iterator[bytes]:
    ((_, chosen),) = listing.chosen(found, [found.shown(file.path)])
    return call.person.store.read_chunks(layout.key(found.prefix, chosen.path))


def _located(call: Call, path: str) -> tuple[Stored, str]:
    """Return what an address names, runs/NAME/artifacts/… or models/NAME/vN/…, and the rest of its path."""
    kind, _, rest = path.strip("/").partition("/")
    name, _, rest = rest.partition("/")
    part, _, rest = rest.partition("/")
    if kind == "runs" and part == "artifacts":
        return listing.find(call.person, name), rest
    if kind == "models" and part.startswith("v"):
        return listing.find(call.person, f"{name}.{part}"), rest
    raise ObjectNotFound(f"no artifacts are at {path[:200]!r}")


def _in(found: Stored, folder: str) -> list[Raw]:
    """Return the files and folders in a folder."""
    entries: dict[str, Raw] = {}
    start = f"{folder}/" if folder else ""
    for file in found.artifact_files:
        shown = found.shown(file.path)
        if not shown.startswith(start):
            continue
        name, slash, _ = shown.removeprefix(start).partition("/")
        entries[name] = (
            {"path": name, "is_dir": True} if slash else {"path": name, "is_dir": False, "file_size": file.size}
        )
    return [entries[name] for name in sorted(entries)]
