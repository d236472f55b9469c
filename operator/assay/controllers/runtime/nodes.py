"""Whether the cluster's nodes support image volumes, through which the recorder reads the installed packages."""

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
#: How long to mount no images after a pod could not be created with one.
_DOUBT_SECONDS = 3600.0
_REMEMBERED = 1000


class Nodes:
    """Decides whether to mount images. ``mode``: ``auto`` (if all nodes support it), ``always`` or ``never``."""

    def __init__(self, kube: Kube, mode: str) -> None:
        self._kube = kube
        self._mode = mode
        self._found = "the nodes have not been checked yet"
        self._doubt = ""
        self._doubt_until = 0.0
        #: UIDs of Jobs that were deleted because their pods could not be created with an image.
        self.abandoned: dict[str, None] = {}

    @property
    def unseen(self) -> str:
        """Why images are not mounted in new pods; "" when they are."""
        if self._mode == NEVER:
            return "ASSAY_CAPTURE_IMAGE is never"
        if self._doubt and time.monotonic() < self._doubt_until and self._mode != ALWAYS:
            return self._doubt
        return "" if self._mode == ALWAYS else self._found

    async def look(self) -> None:
        """Check all nodes. A failure is logged and disables the mounting of images."""
        if self._mode != AUTO:
            return
        try:
            found = capture.why_not([node async for node in self._kube.list(NODES, "")])
        except ApiError as error:
            found = f"cannot list the nodes: {error}"
        if found != self._found:
            log.info("images of training containers are %s", f"not mounted: {found}" if found else "mounted")
        self._found = found

    async def keep(self) -> None:
        """Check the nodes periodically, for ever."""
        while self._mode == AUTO:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    def abandon(self, job_uid: str, problem: str) -> None:
        """Remember that a Job was deleted because of its image volume, and mount no images for _DOUBT_SECONDS."""
        self.abandoned[job_uid] = None
        while len(self.abandoned) > _REMEMBERED:
            del self.abandoned[next(iter(self.abandoned))]
        self._doubt, self._doubt_until = problem, time.monotonic() + _DOUBT_SECONDS
