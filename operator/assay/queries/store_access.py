"""The store as a person reaches it: by the environment, or by a Secret of the namespace that they may read.

    ASSAY_STORE_ENDPOINT, …     as for the operator
    Secret assay-store          endpoint, bucket, region, accessKey, secretKey, sessionToken, ca, auditBucket

The keys are a person's: reading is enough for all that the command line does with the store.
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
    """Where the store is, with the user's keys; ``audit_bucket`` is "" where the trail lies in the same bucket."""

    config: StoreConfig
    audit_bucket: str


SECRET = "assay-store"  # noqa: S105 - its name


def from_environment() -> StoreAddress | None:
    """Return the store that the environment names, None when it names none. Raises AssayError."""
    if not os.environ.get("ASSAY_STORE_ENDPOINT"):
        return None
    try:
        config = StoreConfig.from_environment(os.environ)
    except ConfigError as error:
        raise InvalidRequest(str(error), hint="docs/cli.md lists the variables") from None
    return StoreAddress(config, os.environ.get("ASSAY_AUDIT_BUCKET", "").strip())


def from_secret(kube: Kube, namespace: str) -> StoreAddress:
    """Return the store that the namespace keeps its records in, as its Secret names it. Raises AssayError."""
    where = f"the Secret {SECRET} of the namespace {namespace}"
    secret = kube.find(SECRETS, namespace, SECRET)
    if secret is None:
        hint = f"set ASSAY_STORE_ENDPOINT, ASSAY_STORE_ACCESS_KEY and ASSAY_STORE_SECRET_KEY, or have {where} made"
        raise InvalidRequest("the store is not known", hint=f"{hint} (docs/cli.md)")
    values = {key: base64.b64decode(text).decode().strip() for key, text in (secret.get("data") or {}).items()}
    missing = [key for key in ("endpoint", "accessKey", "secretKey") if not values.get(key)]
    if missing or not is_endpoint(values["endpoint"]):
        raise PermissionDenied(
            f"{where} has no {' and no '.join(missing) or 'address like https://store.example.com:9000 at endpoint'}",
            hint="whoever made it has to mend it; docs/cli.md shows one",
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
