"""What the status of an alias says of a workload that follows it. Pure."""

from assay.api.modelalias import ServingStatus
from assay.planning.serving.rollout import Rollout

_MAX_MESSAGE = 1024


def status(before: ServingStatus, rollout: Rollout, bound: int | None) -> ServingStatus:
    """Return a follower's status after a rollout was judged. ``bound`` is the version that the alias points to.

    ``proven`` is the last version of which a pod was Ready: if the next rollout fails, the alias rolls back to it.
    """
    current = rollout.version == bound
    ready = current and rollout.state == "ready"
    return ServingStatus(
        kind=before.kind,
        name=before.name,
        version=rollout.version,
        ready=ready,
        proven=rollout.version if ready and rollout.some_ready else before.proven,
        failed=current and rollout.state == "failed",
        blocked=bound is not None and rollout.state == "blocked",
        message=None if ready else rollout.message[:_MAX_MESSAGE] or None,
    )
