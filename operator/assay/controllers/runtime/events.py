"""Kubernetes events, as shown by ``kubectl describe``. Posted in the background; a failure to post is ignored."""

import asyncio
import logging
import uuid
from datetime import UTC, datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import EVENTS
from assay.kube.aio import Kube
from assay.kube.errors import ApiError

log = logging.getLogger(__name__)

_MAX_MESSAGE = 1000
#: With this many unsent events, new ones are only logged, because the API server is overloaded or unreachable.
_MAX_UNSENT = 1000


class Events:
    """Posts events through one API client."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._unsent: set[asyncio.Task[None]] = set()

    def post(self, body: Raw, reason: str, message: str, *, warning: bool = False) -> None:
        """Post an event on an object and log its message. Never raises."""
        metadata = body["metadata"]
        log.log(
            logging.WARNING if warning else logging.INFO,
            "%s: %s",
            reason,
            message,
            extra={
                "kind": body["kind"],
                "namespace": metadata["namespace"],
                "object": metadata["name"],
                "uid": metadata["uid"],
            },
        )
        if len(self._unsent) < _MAX_UNSENT:
            event = _event(body, reason, message[:_MAX_MESSAGE], "Warning" if warning else "Normal")
            task = asyncio.get_running_loop().create_task(self._send(event))
            self._unsent.add(task)
            task.add_done_callback(self._unsent.discard)

    async def _send(self, event: Raw) -> None:
        try:
            await self._kube.create(EVENTS, event["metadata"]["namespace"], event)
        except ApiError as error:
            # A terminating namespace accepts no events.
            log.debug("event not posted: %s", error)


def _event(body: Raw, reason: str, message: str, kind: str) -> Raw:
    metadata, now = body["metadata"], datetime.now(UTC)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "source": {"component": names.FIELD_MANAGER},
        "reportingComponent": names.FIELD_MANAGER,
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
