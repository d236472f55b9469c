"""Whether who has approved still holds the verb `approve`: asked of the API server each time that an alias is judged.

A SubjectAccessReview knows no groups but those that it is given. An approval names the groups that the API server knew
its giver by (policy assay-approvals). That somebody has left a group since cannot be known here; that the group has
lost the right can. Nothing is kept: a right that was taken away counts at once.
"""

from dataclasses import replace

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import ACCESS_REVIEWS
from assay.kube.aio import Kube
from assay.planning.promotion.policies import AliasView, Approval, VersionView

_SERVICE_ACCOUNT = "system:serviceaccount:"
_EVERYBODY = "system:authenticated"


async def judged(kube: Kube, namespace: str, alias: AliasView, view: VersionView) -> VersionView:
    """Return the view with those approvals marked whose givers hold the right no more. Raises ApiError."""
    approvals = []
    for approval in view.approvals:
        counts = approval.alias == alias.alias and approval.digest == view.digest
        lapsed = counts and not await _may_approve(kube, namespace, alias, approval)
        approvals.append(replace(approval, lapsed=lapsed))
    return replace(view, approvals=tuple(approvals))


async def _may_approve(kube: Kube, namespace: str, alias: AliasView, approval: Approval) -> bool:
    for name in (alias.alias, f"{alias.model}.{alias.alias}"):
        review = await kube.create(ACCESS_REVIEWS, "", _review(namespace, name, approval))
        if ((review or {}).get("status") or {}).get("allowed") is True:
            return True
    return False


def _review(namespace: str, name: str, approval: Approval) -> Raw:
    attributes = {
        "namespace": namespace,
        "verb": "approve",
        "group": names.GROUP,
        "resource": names.VIRTUAL_ALIASES,
        "name": name,
    }
    groups = sorted({*approval.groups, *_implied(approval.approver)})
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": approval.approver, "groups": groups, "resourceAttributes": attributes},
    }


def _implied(user: str) -> set[str]:
    """Return the groups that everybody, or every service account of a namespace, is in."""
    if not user.startswith(_SERVICE_ACCOUNT):
        return {_EVERYBODY}
    namespace = user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
    return {_EVERYBODY, "system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
