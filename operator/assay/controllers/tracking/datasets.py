"""Check whether a run may read its data sets, and issue the credentials that its pods read them with."""

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import NAMESPACES
from assay.controllers.runtime import tenancy
from assay.controllers.runtime.parts import TenancyParts
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking.refused import Refused
from assay.planning.runs import datasets, entitlement
from assay.planning.runs.checks import InvalidTemplate
from assay.store import locations
from assay.store.credentials import dataset_policies, issue_dataset_credentials
from assay.store.locations import Location


class NotEntitled(Refused):
    """A run declares a data set that its namespace may not read."""

    reason = names.NOT_ENTITLED


async def check(context: TenancyParts, run: Raw) -> None:
    """Raise NotEntitled or InvalidTemplate if the data sets of a run do not permit its launch."""
    if not datasets.unnamed(run):
        return
    bucket, allowed = context.settings.store.bucket, await _allowed(context, run)
    refused = entitlement.refusal(run, bucket, allowed)
    readable = entitlement.readable(run, bucket, allowed)
    refused = refused or await tenancy.refusal(context, place(run)[0], readable.values())
    if refused:
        raise NotEntitled(refused)
    try:
        dataset_policies(_places(readable))
    except ValueError as error:
        raise InvalidTemplate(f"spec.datasets: {error}") from None


async def secret_data(context: TenancyParts, run: Raw) -> dict[str, str]:
    """Return the credentials for data sets in the run's Secret, beside its own credentials; {} if it needs none.

    They cover only what the namespace may read now.
    """
    if not datasets.unnamed(run):
        return {}
    allowed = await _allowed(context, run)
    places = _places(entitlement.readable(run, context.settings.store.bucket, allowed))
    issued = await context.store.run(issue_dataset_credentials, context.settings.store, places)
    return {datasets.CREDENTIALS_KEY: issued}


def _places(uris: dict[str, str]) -> dict[str, Location]:
    return {name: locations.parse(uri) for name, uri in uris.items()}


async def _allowed(context: TenancyParts, run: Raw) -> str:
    """Return the allowed prefixes, read from the API server each time because the permission can be withdrawn."""
    namespace, _ = place(run)
    if not entitlement.refusal(run, context.settings.store.bucket, ""):
        return ""
    found = await context.kube.get(NAMESPACES, "", namespace) or {}
    annotations = found.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_ALLOWED_PREFIXES, ""))
