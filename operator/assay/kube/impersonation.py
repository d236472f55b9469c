"""Impersonation: turns --as and the `as` fields of a kubeconfig into headers for the API server."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3

from assay.api.errors import InvalidRequest

Raw = Mapping[str, Any]


def headers(user: str, groups: tuple[str, ...], known: Raw) -> urllib3.HTTPHeaderDict:
    """Return the headers. As with kubectl, arguments override the kubeconfig. Raises AssayError."""
    user, groups = user or known.get("as") or "", groups or tuple(known.get("as-groups") or ())
    if groups and not user:
        raise InvalidRequest("--as-group requires --as", hint="name a user too: --as=jane --as-group=ml")
    found = urllib3.HTTPHeaderDict({"Impersonate-User": _header(user)} if user else {})
    for group in groups:
        found.add("Impersonate-Group", _header(group))
    if known.get("as-uid"):
        found.add("Impersonate-Uid", _header(known["as-uid"]))
    for key, values in (known.get("as-user-extra") or {}).items():
        for value in values:
            found.add(f"Impersonate-Extra-{quote(key.lower(), safe='')}", _header(value))
    return found


def _header(text: str) -> str:
    """Encode a name for a header: the API server expects UTF-8, the HTTP library a string of Latin-1."""
    return text.encode().decode("latin-1")
