"""The static files: scripts, styles, and what is vendored. Their address has a digest, so browsers keep them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FILES: Final = {
    path.relative_to(FOLDER).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix in _TYPES
}
_DIGEST: Final = hashlib.sha256(b"".join(name.encode() + data for name, (data, _) in _FILES.items())).hexdigest()[:16]
#: The folder of all files in addresses. Modules import each other by relative paths, and so stay in it.
PREFIX: Final = f"/static/{_DIGEST}"


def _file(request: Request) -> Response:
    found = _FILES.get(request.path_params["path"])
    if found is None:
        return PlainTextResponse("not found", 404)
    data, kind = found
    return Response(data, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})


ROUTE: Final = Route(f"{PREFIX}/{{path:path}}", _file)
