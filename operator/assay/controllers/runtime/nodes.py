"""Whether the cluster's nodes can mount images, so that the recorder sees what the training container has installed."""

import asyncio
import logging
import time

from assay.api.resources import NODES
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning.runs import capture

log = logging.getLogger(__name__)

AUTO, ALWAYS, NEVER = "auto", "always", "never"
_LOOK_SECONDS = 600.0
#: How long one pod that could not be created with an image keeps others from trying.
_DOUBT_SECONDS = 3600.0
_REMEMBERED = 1000


class Nodes:
    """What is known of the nodes. ``mode``: ``auto`` mounts images where all nodes can; else ``always`` or ``never``.

    ``unseen`` says why images are not mounted at the moment, "" when they are.
    """

    def __init__(self, kube: Kube, mode: str) -> None:
        self._kube = kube
        self._mode = mode
        self._found = "the nodes have not been looked at yet"
        self._doubt = ""
        self._doubt_until = 0.0
        #: UIDs of Jobs that were deleted, because their pods could not be created with an image.
        self.abandoned: dict[str, None] = {}

    @property
    def unseen(self) -> str:
        """Why the recorder cannot see the image of a pod that is created now, "" when it can."""
        if self._mode == NEVER:
            return "ASSAY_CAPTURE_IMAGE is never"
        if self._doubt and time.monotonic() < self._doubt_until and self._mode != ALWAYS:
            return self._doubt
        return "" if self._mode == ALWAYS else self._found

    async def look(self) -> None:
        """Look at all nodes. A failure is logged, and no image is mounted."""
        if self._mode != AUTO:
            return
        try:
            found = capture.why_not([node async for node in self._kube.list(NODES, "")])
        except ApiError as error:
            found = f"the nodes cannot be looked at: {error}"
        if found != self._found:
            log.info("images of training containers are %s", f"not looked at: {found}" if found else "looked at")
        self._found = found

    async def keep(self) -> None:
        """Look again for ever: nodes come and go."""
        while self._mode == AUTO:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    def abandon(self, job_uid: str, problem: str) -> None:
        """Remember that a Job was deleted because of an image, and mount no other for some time."""
        self.abandoned[job_uid] = None
        while len(self.abandoned) > _REMEMBERED:
            del self.abandoned[next(iter(self.abandoned))]
        self._doubt, self._doubt_until = problem, time.monotonic() + _DOUBT_SECONDS
