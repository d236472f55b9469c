"""As whom somebody acts: what --as and the kubeconfig say of it, as headers that the API server understands.

The Kubernetes client reads no `as` of a kubeconfig: without this one would act with the rights of whoever signs in.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes.config import kube_config

from assay.api.errors import InvalidRequest

Raw = Mapping[str, Any]


def headers(user: str, groups: tuple[str, ...], known: Raw) -> urllib3.HTTPHeaderDict:
    """Return the headers; what is given goes before what the kubeconfig says, as with kubectl. Raises AssayError."""
    user, groups = user or known.get("as") or "", groups or tuple(known.get("as-groups") or ())
    if groups and not user:
        raise InvalidRequest("--as-group needs --as", hint="name the user too: --as=jane --as-group=ml")
    found = urllib3.HTTPHeaderDict({"Impersonate-User": _header(user)} if user else {})
    for group in groups:
        found.add("Impersonate-Group", _header(group))
    if known.get("as-uid"):
        found.add("Impersonate-Uid", _header(known["as-uid"]))
    for key, values in (known.get("as-user-extra") or {}).items():
        for value in values:
            found.add(f"Impersonate-Extra-{quote(key.lower(), safe='')}", _header(value))
    return found


def user_of(kubeconfig: str, context: Raw) -> Raw:
    """Return the user of a context, as the kubeconfig has it. Raises OSError, and ConfigException for no kubeconfig."""
    merged = kube_config.KubeConfigMerger(kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    users = (each.value for each in merged.value["users"])
    return next((each["user"] or {} for each in users if each["name"] == context.get("user")), {})


def _header(text: str) -> str:
    """Return a name as the API server reads headers: UTF-8, which the HTTP library has to be given as Latin-1."""
    return text.encode().decode("latin-1")
