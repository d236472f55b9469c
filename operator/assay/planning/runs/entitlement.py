"""Which data sets a Run may read with credentials issued by the operator: those that its namespace may name.

charts/assay/policies/datasets.yaml has the same rule. The operator checks it again at launch, also when that policy is
not installed. Pure.
"""

from assay.api import names
from assay.api.objects import Raw
from assay.api.uris import decoded
from assay.planning.models import registration
from assay.planning.runs import datasets


def readable(run: Raw, bucket: str, allowed: str) -> dict[str, str]:
    """Return name → address of a raw Run's data sets that need the operator's credentials and are allowed.

    ``bucket`` is the operator's bucket, ``allowed`` the namespace's annotation assay.dev/allowed-prefixes or "".
    """
    namespace = run["metadata"]["namespace"]
    return {
        each["name"]: each["uri"]
        for each in datasets.unnamed(run)
        if any(registration.entitled(uri, namespace, bucket, allowed) for uri in {each["uri"], decoded(each["uri"])})
    }


def refusal(run: Raw, bucket: str, allowed: str) -> str:
    """Return why a raw Run must not be launched; "" when it may read all its data sets."""
    permitted = readable(run, bucket, allowed)
    denied = next((each for each in datasets.unnamed(run) if each["name"] not in permitted), None)
    if denied is None:
        return ""
    namespace = run["metadata"]["namespace"]
    own = f"s3://{bucket}/runs/{namespace}/ s3://{bucket}/models/{namespace}/"
    return (
        f"data set {denied['name']}: {denied['uri']} is outside the prefixes that this namespace may read "
        f"({' '.join([own, *allowed.split()])}): set secretRef to a Secret with your own keys, or ask "
        f"the platform team to add a prefix to the namespace's annotation {names.ANNOTATION_ALLOWED_PREFIXES}"
    )
