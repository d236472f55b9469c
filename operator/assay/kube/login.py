"""The credentials of a kubeconfig's user, in kubectl's order: token file, token, password, plugin; certificates too.

A request is never sent without credentials because something failed: that raises an error.
"""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from assay.api.errors import InvalidRequest, PermissionDenied
from assay.api.objects import Raw
from assay.kube import kubeconfig, plugins
from assay.kube.kubeconfig import Target
from assay.kube.plugins import Credential

#: A token that expires this soon is renewed first.
_EARLY: Final = timedelta(seconds=10)


class Certificate(NamedTuple):
    """A client certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Identity(NamedTuple):
    """What a request shows: its Authorization header, "" for none, and its connection's client certificate."""

    authorization: str
    certificate: Certificate | None


class Login:
    """One user of one cluster; threads share it. A plugin runs when its credential is needed and not yet known."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._credential: Credential | None = None
        self._lock = threading.Lock()

    @property
    def _user(self) -> Raw:
        return self._target.user

    def identity(self) -> Identity:
        """Return what the next request shows. Raises AssayError."""
        own, plugin = self._own_certificate(), self._from_plugin()
        shown = Certificate(plugin.certificate.encode(), plugin.key.encode()) if plugin and plugin.certificate else None
        return Identity(self._authorization(plugin), own or shown)

    def _authorization(self, plugin: Credential | None) -> str:
        token = self._file_token() or str(self._user.get("token") or "")
        if token:
            return f"Bearer {token}"
        if self._user.get("username") or self._user.get("password"):
            pair = f"{self._user.get('username') or ''}:{self._user.get('password') or ''}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        if self._user.get("auth-provider"):
            return f"Bearer {_provider_token(self._user['auth-provider'])}"
        return f"Bearer {plugin.token}" if plugin and plugin.token else ""

    def _own_certificate(self) -> Certificate | None:
        own = kubeconfig.data(self._user, "client-certificate")
        return Certificate(own, kubeconfig.data(self._user, "client-key") or b"") if own else None

    def renew(self) -> bool:
        """Forget the plugin's credential after a refusal; return whether there was one. The next request runs it."""
        with self._lock:
            known, self._credential = self._credential, None
        return known is not None

    def _file_token(self) -> str:
        """Return the current token in the user's file, which is replaced before it expires."""
        path = str(self._user.get("tokenFile") or "")
        if not path:
            return ""
        try:
            token = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._user.get("token"):  # kubectl falls back to it as well
                return ""
            reason = getattr(error, "strerror", "") or "it is not text"
            raise InvalidRequest(
                f"cannot read tokenFile {path} of user {self._target.user_name!r}: {reason}",
                hint="correct the kubeconfig; no request was sent",
            ) from None
        if not token and not self._user.get("token"):
            raise InvalidRequest(f"tokenFile {path} is empty", hint="write a token there; no request was sent")
        return token

    def _from_plugin(self) -> Credential | None:
        plugin = self._user.get("exec")
        if not plugin or self._user.get("token") or self._user.get("tokenFile") or self._user.get("username"):
            return None
        with self._lock:
            if self._credential is None or _expires_soon(self._credential):
                self._credential = plugins.run(plugin, self._cluster())
            return self._credential

    def _cluster(self) -> Raw:
        """Return the cluster as a plugin receives it: with the certificate authority as data."""
        authority = kubeconfig.data(self._target.cluster, "certificate-authority")
        encoded = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
        return {**self._target.cluster, **encoded}


def _expires_soon(credential: Credential) -> bool:
    expires = credential.expires
    if expires is None:
        return False
    aware = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    return aware - _EARLY <= datetime.now(UTC)


def _provider_token(provider: Raw) -> str:
    """Return the token of the built-in provider `oidc`. Raises PermissionDenied.

    Only kubectl refreshes it: whoever refreshes it must write the new refresh token to the kubeconfig.
    """
    name, config = provider.get("name"), provider.get("config") or {}
    if name != "oidc":
        raise PermissionDenied(
            f"cannot authenticate: the auth-provider {name!r} of the kubeconfig was removed from Kubernetes",
            hint="use its credential plugin (`exec`) instead; no request was sent",
        )
    token = str(config.get("id-token") or "")
    if not token or any(moment <= datetime.now(UTC) + _EARLY for moment in _expiry(token)):
        raise PermissionDenied(
            "cannot authenticate: the OIDC token of the kubeconfig is missing or has expired",
            hint="any kubectl command refreshes it, such as `kubectl auth whoami`; then try again",
        )
    return token


def _expiry(token: str) -> Iterator[datetime]:
    """Yield when a JWT expires, if it says so."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        yield datetime.fromtimestamp(claims["exp"], UTC)
    except (IndexError, ValueError, KeyError, TypeError):
        return
