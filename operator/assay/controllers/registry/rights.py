"""Whether an approver still holds the verb `approve`. The API server is asked each time an alias is judged.

The question is a LocalSubjectAccessReview, which a Role can allow. It considers only the groups that it is given: those
that the approval names, which are the groups the API server knew the approver by (policy assay-approvals). The operator
sees when a group has lost the right, but not when the approver has left the group. Nothing is cached: a revoked right
counts at once.
"""

from dataclasses import replace

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import LOCAL_ACCESS_REVIEWS
from assay.controllers.runtime.parts import ObjectApi
from assay.planning.promotion.policies import AliasView, Approval, VersionView

_SERVICE_ACCOUNT = "system:serviceaccount:"
_EVERYBODY = "system:authenticated"


async def judged(kube: ObjectApi, namespace: str, alias: AliasView, view: VersionView) -> VersionView:
    """Return the view with the approvals marked whose approvers have lost the right. Raises ApiError."""
    approvals = []
    for approval in view.approvals:
        counts = approval.alias == alias.alias and approval.digest == view.digest
        lapsed = counts and not await _may_approve(kube, namespace, alias, approval)
        approvals.append(replace(approval, lapsed=lapsed))
    return replace(view, approvals=tuple(approvals))


async def _may_approve(kube: ObjectApi, namespace: str, alias: AliasView, approval: Approval) -> bool:
    for name in (alias.alias, f"{alias.model}.{alias.alias}"):
        review = await kube.create(LOCAL_ACCESS_REVIEWS, namespace, _review(namespace, name, approval))
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
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": {"user": approval.approver, "groups": groups, "resourceAttributes": attributes},
    }


def _implied(user: str) -> set[str]:
    """Return the groups that every user, or every service account of a namespace, belongs to."""
    if not user.startswith(_SERVICE_ACCOUNT):
        return {_EVERYBODY}
    namespace = user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
    return {_EVERYBODY, "system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
