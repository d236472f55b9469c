"""The address and keys of the store for a user: from the environment, or from a Secret of the namespace.

    ASSAY_STORE_ENDPOINT, …     as for the operator
    Secret assay-store          endpoint, bucket, region, accessKey, secretKey, sessionToken, ca, auditBucket

The keys are the user's own. The command line only needs to read from the store.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, NamedTuple

from assay.api.errors import InvalidRequest, PermissionDenied
from assay.api.resources import SECRETS
from assay.store.config import ConfigError, StoreConfig, is_endpoint

if TYPE_CHECKING:
    from assay.kube.sync import Kube


class StoreAddress(NamedTuple):
    """Where the store is, with the user's keys; ``audit_bucket`` is "" if the trail is in the same bucket."""

    config: StoreConfig
    audit_bucket: str


SECRET = "assay-store"  # noqa: S105 - its name


def from_environment() -> StoreAddress | None:
    """Return the store from the environment, None if it is not set. Raises AssayError."""
    if not os.environ.get("ASSAY_STORE_ENDPOINT"):
        return None
    try:
        config = StoreConfig.from_environment(os.environ)
    except ConfigError as error:
        raise InvalidRequest(str(error), hint="docs/cli.md lists the variables") from None
    return StoreAddress(config, os.environ.get("ASSAY_AUDIT_BUCKET", "").strip())


def from_secret(kube: Kube, namespace: str) -> StoreAddress:
    """Return the store from the Secret of the namespace. Raises AssayError."""
    where = f"Secret {SECRET} in namespace {namespace}"
    secret = kube.find(SECRETS, namespace, SECRET)
    if secret is None:
        hint = f"set ASSAY_STORE_ENDPOINT, ASSAY_STORE_ACCESS_KEY and ASSAY_STORE_SECRET_KEY, or create the {where}"
        raise InvalidRequest("no store is configured", hint=f"{hint} (docs/cli.md)")
    values = {key: base64.b64decode(text).decode().strip() for key, text in (secret.get("data") or {}).items()}
    missing = [key for key in ("endpoint", "accessKey", "secretKey") if not values.get(key)]
    if missing or not is_endpoint(values["endpoint"]):
        raise PermissionDenied(
            f"{where} has no {' and no '.join(missing) or 'address like https://store.example.com:9000 at endpoint'}",
            hint="ask its owner to correct it; docs/cli.md shows an example",
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
    return StoreAddress(config, values.get("auditBucket", ""))
