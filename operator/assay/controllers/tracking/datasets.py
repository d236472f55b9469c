"""Whether a run may read its data sets, and the credentials with which its pods then do."""

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import NAMESPACES
from assay.controllers.runtime import tenancy
from assay.controllers.runtime.context import Context
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking.refused import Refused
from assay.planning.runs import datasets, entitlement
from assay.planning.runs.job import InvalidTemplate
from assay.store import locations
from assay.store.credentials import dataset_policies, issue_dataset_credentials
from assay.store.locations import Location


class NotEntitled(Refused):
    """A run wants to read what its namespace may not."""

    reason = names.NOT_ENTITLED


async def check(context: Context, run: Raw) -> None:
    """Raise NotEntitled, or InvalidTemplate, unless a run may be launched as far as its data sets are concerned."""
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


async def secret_data(context: Context, run: Raw) -> dict[str, str]:
    """Return what the run's Secret has beside its own credentials: those for data sets, {} when it needs none.

    Only for what the namespace may read at this moment.
    """
    if not datasets.unnamed(run):
        return {}
    allowed = await _allowed(context, run)
    places = _places(entitlement.readable(run, context.settings.store.bucket, allowed))
    issued = await context.store.run(issue_dataset_credentials, context.settings.store, places)
    return {datasets.CREDENTIALS_KEY: issued}


def _places(uris: dict[str, str]) -> dict[str, Location]:
    return {name: locations.parse(uri) for name, uri in uris.items()}


async def _allowed(context: Context, run: Raw) -> str:
    """Ask the API server, at this moment: what was allowed once says nothing."""
    namespace, _ = place(run)
    if not entitlement.refusal(run, context.settings.store.bucket, ""):
        return ""
    found = await context.kube.get(NAMESPACES, "", namespace) or {}
    annotations = found.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_ALLOWED_PREFIXES, ""))
