"""Refuse records of an earlier namespace to a new namespace of the same name.

The check runs wherever the operator reads a record for somebody: data sets, artifacts of versions, deleted runs, and
registered models.
"""

from collections.abc import Iterable
from datetime import datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import NAMESPACES
from assay.controllers.runtime.parts import TenancyParts
from assay.planning.conditions import parse_time
from assay.planning.models import registration
from assay.store import locations, tenancy
from assay.store.tenancy import TooManyRecords


async def refusal(context: TenancyParts, namespace: str, uris: Iterable[str]) -> str:
    """Return why a namespace may not have one of these URIs; "" if it may have all. Raises ApiError and StoreError.

    URIs that do not contain the namespace's name are checked elsewhere. Prefixes that the platform team has listed in
    the namespace's annotation assay.dev/allowed-prefixes may be of any age.
    """
    bucket = context.settings.store.bucket
    own = [uri for uri in uris if _is_own(uri, namespace, bucket)]
    if not own:
        return ""
    metadata: Raw = (await context.kube.get(NAMESPACES, "", namespace) or {}).get("metadata", {})
    since = parse_time(metadata.get("creationTimestamp"))
    allowed = str((metadata.get("annotations") or {}).get(names.ANNOTATION_ALLOWED_PREFIXES, ""))
    for uri in own:
        if since is None or registration.named(uri, allowed):
            continue
        key = locations.parse(uri).key
        try:
            found = await context.store.run(tenancy.earlier, context.store.blocking, key, since)
        except TooManyRecords as error:
            return str(error)
        if found:
            return (
                f"s3://{bucket}/{found}/ is older than this namespace: it was recorded for an earlier namespace of the "
                f"same name. If it is yours, have the platform team add its prefix to the namespace's annotation "
                f"{names.ANNOTATION_ALLOWED_PREFIXES}"
            )
    return ""


async def existing(context: TenancyParts, namespace: str) -> Raw | None:
    """Return the metadata of a namespace; None if it does not exist or is being deleted. Raises ApiError."""
    found = await context.kube.get(NAMESPACES, "", namespace)
    metadata: Raw | None = found["metadata"] if found else None
    return None if metadata is None or metadata.get("deletionTimestamp") else metadata


async def refusal_of_all(context: TenancyParts, metadata: Raw) -> str:
    """Return why people of a namespace may not read everything that the store has under its name; "" if they may.

    `metadata` is the namespace's. Raises ApiError and StoreError.
    """
    bucket, namespace = context.settings.store.bucket, metadata["name"]
    since = datetime.fromisoformat(metadata["creationTimestamp"])
    allowed = str((metadata.get("annotations") or {}).get(names.ANNOTATION_ALLOWED_PREFIXES, ""))
    addresses = [f"s3://{bucket}/{folder}" for folder in tenancy.folders(namespace)]
    missing = [address for address in addresses if not registration.named(address, allowed)]
    settings, store = context.settings, context.store.blocking
    trails = (store, settings.audit.store(settings.store)) if settings.audit.bucket else (store,)
    if not missing:
        return ""
    if await context.store.run(tenancy.inherits, store, trails, namespace, metadata["uid"], since):
        return (
            f"the store may have records of an earlier namespace {namespace}. If they are yours, have the platform "
            f"team add {' '.join(missing)} to the namespace's annotation {names.ANNOTATION_ALLOWED_PREFIXES}"
        )
    return ""


def _is_own(uri: str, namespace: str, bucket: str) -> bool:
    try:
        place = locations.parse(uri)
    except ValueError:
        return False
    return place.bucket == bucket and tenancy.is_own(place.key, namespace)
