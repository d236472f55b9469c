"""Decides who may read /metrics: users who may ``get`` the URL /metrics, as with Kubernetes' own components.

The API server authenticates a scraper's token (TokenReview) and authorizes its user (SubjectAccessReview). Answers are
cached for a minute; tokens are stored as hashes.
"""

import hashlib
import logging
import time
from typing import NamedTuple

from assay.api.objects import Raw
from assay.api.resources import ACCESS_REVIEWS, TOKEN_REVIEWS
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.store.config import ConfigError

log = logging.getLogger(__name__)

PATH = "/metrics"
_BELIEVED_SECONDS = 60.0
_REMEMBERED = 1000


class Answer(NamedTuple):
    """An HTTP status and an error message; "" if access is allowed."""

    status: int
    why: str = ""


class Scrapers:
    """Authorizes scrapers. It connects on first use, so that a replica that waits for the Lease answers too."""

    def __init__(self) -> None:
        self._kube: Kube | None = None
        self._known: dict[str, tuple[float, Answer]] = {}

    async def close(self) -> None:
        """Close the connections."""
        if self._kube is not None:
            await self._kube.close()

    async def judge(self, authorization: str) -> Answer:
        """Return whether a request with this Authorization header may read the metrics. Never raises."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return Answer(401, "a bearer token of the cluster is required: see docs/metrics.md")
        name = hashlib.sha256(token.strip().encode()).hexdigest()
        until, known = self._known.get(name, (0.0, Answer(401)))
        if time.monotonic() < until:
            return known
        try:
            answer = await self._ask(token.strip())
        except (ApiError, ConfigError) as error:
            log.warning("a scraper cannot be identified: %s", error)
            return Answer(503, "the API server did not answer the TokenReview; try again")
        while len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = time.monotonic() + _BELIEVED_SECONDS, answer
        return answer

    async def _ask(self, token: str) -> Answer:
        kube = await self._connected()
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = _status(await kube.create(TOKEN_REVIEWS, "", review))
        if not status.get("authenticated"):
            return Answer(401, "the API server rejected this token")
        user = status.get("user") or {}
        who = {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}
        spec = {"user": user.get("username", ""), **who, "nonResourceAttributes": {"path": PATH, "verb": "get"}}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        if not _status(await kube.create(ACCESS_REVIEWS, "", review)).get("allowed"):
            return Answer(403, f"{user.get('username')} may not get {PATH}: bind the ClusterRole assay-metrics-reader")
        return Answer(200)

    async def _connected(self) -> Kube:
        if self._kube is None:
            kube = Kube(2)
            await kube.connect()
            self._kube = kube
        return self._kube


def _status(found: Raw | None) -> Raw:
    return dict((found or {}).get("status") or {})
