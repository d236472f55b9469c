"""The address and keys of the store for a user: from the environment, or from a Secret of the namespace.

    ASSAY_STORE_ENDPOINT, …     as for the operator; without keys, the address alone, for the keys of a Secret
    Secret assay-store          endpoint, bucket, region, accessKey, secretKey, sessionToken, ca, auditBucket, expires
    Secret assay-read           the same: temporary keys that the operator replaces

The keys are the user's own. The command line only needs to read from the store.
"""

from __future__ import annotations

import base64
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from assay.api import names
from assay.api.errors import InvalidRequest, PermissionDenied
from assay.api.objects import Raw
from assay.api.resources import SECRETS
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.store.config import ConfigError, StoreConfig, is_endpoint

if TYPE_CHECKING:
    from assay.kube.sync import Kube

SECRET: Final = "assay-store"  # noqa: S105 - its name
#: Keys that expire sooner are not used: a request may take a while.
MARGIN: Final = timedelta(seconds=60)
#: The operator deletes and creates the Secret when it replaces keys. In between, it is absent for this long at most.
_REPLACING_SECONDS = 0.5
_OWNER: Final = "ask its owner to correct it; docs/cli.md shows an example"


class StoreAddress(NamedTuple):
    """Where the store is, with the user's keys; ``audit_bucket`` is "" if the trail is in the same bucket.

    ``expires`` is None for keys without an end.
    """

    config: StoreConfig
    audit_bucket: str
    expires: datetime | None = None

    @property
    def stale(self) -> bool:
        """Whether the keys have expired, or are about to."""
        return self.expires is not None and self.expires - datetime.now(UTC) < MARGIN


def from_environment() -> StoreAddress | None:
    """Return the store from the environment, None if it is not set. Raises AssayError."""
    if not os.environ.get("ASSAY_STORE_ENDPOINT") or not os.environ.get("ASSAY_STORE_ACCESS_KEY"):
        return None
    try:
        config = StoreConfig.from_environment(os.environ)
    except ConfigError as error:
        raise InvalidRequest(str(error), hint="docs/cli.md lists the variables") from None
    return StoreAddress(config, os.environ.get("ASSAY_AUDIT_BUCKET", "").strip())


def of_namespace(kube: Kube, namespace: str, *, own_machine: bool) -> StoreAddress:
    """Return the store of a namespace. Raises AssayError.

    On the user's own machine, the environment counts first: address and keys, or the address alone.
    """
    if own_machine and (found := from_environment()):
        return found
    found = from_secrets(kube, namespace)
    endpoint = os.environ.get("ASSAY_STORE_ENDPOINT", "").strip().rstrip("/") if own_machine else ""
    if not endpoint:
        return found
    if not is_endpoint(endpoint):
        raise InvalidRequest(
            f"ASSAY_STORE_ENDPOINT is {endpoint!r}: it must be like https://store.example.com:9000",
            hint="docs/cli.md lists the variables",
        )
    return found._replace(config=replace(found.config, endpoint=endpoint))


def from_secrets(kube: Kube, namespace: str) -> StoreAddress:
    """Return the store from the Secret that somebody made, or from that of the operator. Raises AssayError."""
    refused: ApiError | None = None
    for name in (SECRET, names.READ_SECRET):
        try:
            secret = kube.find(SECRETS, namespace, name)
            if secret is None and name == names.READ_SECRET and refused is None:
                time.sleep(_REPLACING_SECONDS)
                secret = kube.find(SECRETS, namespace, name)
        except ApiError as error:
            if error.status != 403:
                raise
            refused = error
            continue
        if secret is not None:
            return _parsed(secret, f"Secret {name} in namespace {namespace}")
    if refused is not None:
        raise refused
    hint = "set ASSAY_STORE_ENDPOINT, ASSAY_STORE_ACCESS_KEY and ASSAY_STORE_SECRET_KEY, or create the Secret"
    raise InvalidRequest("no store is configured", hint=f"{hint} {SECRET} in namespace {namespace} (docs/cli.md)")


def _parsed(secret: Raw, where: str) -> StoreAddress:
    values = {key: _text(key, text, where) for key, text in (secret.get("data") or {}).items()}
    if values.get("problem"):
        raise PermissionDenied(f"the operator issues no store keys: {values['problem']}", hint="see docs/cli.md")
    missing = [key for key in ("endpoint", "accessKey", "secretKey") if not values.get(key)]
    if missing or not is_endpoint(values["endpoint"]):
        raise PermissionDenied(
            f"{where} has no {' and no '.join(missing) or 'address like https://store.example.com:9000 at endpoint'}",
            hint=_OWNER,
        )
    config = StoreConfig(
        endpoint=values["endpoint"].rstrip("/"),
        region=values.get("region") or "us-east-1",
        bucket=values.get("bucket") or "assay",
        access_key=values["accessKey"],
        secret_key=values["secretKey"],
        session_token=values.get("sessionToken", ""),
        ca_pem=values.get("ca", ""),
    )
    found = StoreAddress(config, values.get("auditBucket", ""), _expiry(values.get("expires", ""), where))
    if found.stale:
        raise PermissionDenied(
            f"the keys in the {where} expired at {values['expires']}",
            hint="the operator replaces those in assay-read when half of their lifetime is over: check that it runs",
        )
    return found


def _text(key: str, value: str, where: str) -> str:
    try:
        return base64.b64decode(value).decode().strip()
    except ValueError:
        raise PermissionDenied(f"{key} in the {where} is no text", hint=_OWNER) from None


def _expiry(text: str, where: str) -> datetime | None:
    """Return when keys expire; a time without a zone is UTC."""
    try:
        found = parse_time(text)
    except ValueError:
        raise PermissionDenied(f"expires in the {where} is {text[:50]!r}, which is no time", hint=_OWNER) from None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
