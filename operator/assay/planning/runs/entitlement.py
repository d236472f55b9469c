"""Which data sets a Run may read with credentials of the operator's: those that its namespace may name.

The same rule is in charts/assay/policies/datasets.yaml; here it counts also where that policy is not installed, and
once more at the moment of launching. Pure.
"""

from assay.api import names
from assay.api.objects import Raw
from assay.planning.models import registration
from assay.planning.runs import datasets


def readable(run: Raw, bucket: str, allowed: str) -> dict[str, str]:
    """Return name → address of a raw Run's data sets that need the operator's credentials, and may have them.

    ``bucket`` is the operator's own, ``allowed`` the namespace's annotation assay.dev/allowed-prefixes, "" for none.
    """
    namespace = run["metadata"]["namespace"]
    return {
        each["name"]: each["uri"]
        for each in datasets.unnamed(run)
        if registration.entitled(each["uri"], namespace, bucket, allowed)
    }


def refusal(run: Raw, bucket: str, allowed: str) -> str:
    """Return why a raw Run is not launched, "" when all that it wants to read it may read."""
    fine = readable(run, bucket, allowed)
    denied = next((each for each in datasets.unnamed(run) if each["name"] not in fine), None)
    if denied is None:
        return ""
    namespace = run["metadata"]["namespace"]
    own = f"s3://{bucket}/runs/{namespace}/ s3://{bucket}/models/{namespace}/"
    return (
        f"data set {denied['name']}: {denied['uri']} is outside of what this namespace may read "
        f"({' '.join([own, *allowed.split()])}): name a Secret with keys of your own in secretRef, or have "
        f"the platform team add a prefix to the namespace's annotation {names.ANNOTATION_ALLOWED_PREFIXES}"
    )
