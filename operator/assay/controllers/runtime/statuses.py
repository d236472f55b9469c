"""Write a status: only if it changed, only the changed fields, and only over the resourceVersion that was read."""

from collections.abc import Callable

from assay.api.objects import Raw
from assay.api.resources import Resource
from assay.controllers.runtime.parts import ObjectApi
from assay.controllers.runtime.queue import Requeue
from assay.kube.errors import ApiError


def difference(old: Raw, new: Raw) -> Raw:
    """Return the JSON merge patch (RFC 7386) that turns ``old`` into ``new``; empty when they are equal."""
    patch: Raw = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = difference(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


async def write(
    kube: ObjectApi, resource: Resource, body: Raw, status: Raw, upsert: Callable[[Raw], object]
) -> Raw | None:
    """Write the status of an object if it differs. Return the current object; None when it no longer exists.

    The patch contains the resourceVersion that was read, so it never overwrites a concurrent change. On a conflict,
    this passes the current object to ``upsert`` and raises Requeue.
    """
    patch = difference(body.get("status") or {}, status)
    if not patch:
        return body
    metadata = body["metadata"]
    guard = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
    try:
        return await kube.merge_patch(
            resource, metadata["namespace"], metadata["name"], {"metadata": guard, "status": patch}, "status"
        )
    except ApiError as error:
        if error.status == 409:
            fresh = await kube.get(resource, metadata["namespace"], metadata["name"])
            if fresh is not None:
                upsert(fresh)
            raise Requeue(0.05, f"the object changed since it was read: {error}") from None
        raise
