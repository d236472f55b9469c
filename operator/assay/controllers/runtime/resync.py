"""Resync by listing: once before the first reconcile, and periodically to find deleted objects.

kopf delivers existing objects and changes, but does not report when its initial listing is complete, and misses
deletions while a watch is broken. Its index handlers would answer the first question, but at a cost that is quadratic
in the number of objects.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import (
    DEPLOYMENTS,
    EXPERIMENTS,
    JOBS,
    MODEL_ALIASES,
    MODEL_VERSIONS,
    PODS,
    PROMOTION_POLICIES,
    RUNS,
    STATEFUL_SETS,
    Resource,
)
from assay.controllers.runtime.model_cache import DEPLOYMENT, STATEFUL_SET, WORKLOADS, ModelCache
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.kube.aio import Kube
from assay.kube.errors import ApiError

log = logging.getLogger(__name__)

#: All watched resources.
RESOURCES: tuple[Resource, ...] = (
    EXPERIMENTS,
    RUNS,
    JOBS,
    PODS,
    MODEL_VERSIONS,
    MODEL_ALIASES,
    PROMOTION_POLICIES,
    DEPLOYMENTS,
    STATEFUL_SETS,
)


class Watched(NamedTuple):
    """One watched kind: its label selector, and the cache methods that store and return its objects."""

    resource: Resource
    kind: str
    api_version: str
    selector: str
    upsert: Callable[[Raw], bool]
    known: Callable[[str], dict[str, Raw]]


def watched(tracking: TrackingCache, registry: ModelCache) -> tuple[Watched, ...]:
    """Return all watched kinds, in the order in which the caches must be filled."""
    ours, run = names.API_VERSION, names.LABEL_RUN_UID
    return (
        Watched(EXPERIMENTS, names.EXPERIMENT, ours, "", tracking.upsert_experiment, tracking.known),
        Watched(RUNS, names.RUN, ours, "", tracking.upsert_run, tracking.known),
        Watched(JOBS, "Job", "batch/v1", run, tracking.upsert_job, tracking.known),
        Watched(PODS, "Pod", "v1", run, tracking.upsert_pod, tracking.known),
        Watched(MODEL_VERSIONS, names.MODEL_VERSION, ours, "", registry.upsert, registry.known),
        Watched(MODEL_ALIASES, names.MODEL_ALIAS, ours, "", registry.upsert, registry.known),
        Watched(PROMOTION_POLICIES, names.PROMOTION_POLICY, ours, "", registry.upsert, registry.known),
        Watched(DEPLOYMENTS, DEPLOYMENT, "apps/v1", "", registry.upsert, registry.known),
        Watched(STATEFUL_SETS, STATEFUL_SET, "apps/v1", "", registry.upsert, registry.known),
    )


async def fill(kube: Kube, kinds: tuple[Watched, ...], namespaces: tuple[str, ...]) -> None:
    """Fill the caches with all existing objects. Waits for the API server and the CRDs."""
    for each in kinds:
        while True:
            try:
                async for body in _listed(kube, each, namespaces):
                    each.upsert(body)
            except ApiError as error:
                hint = ": apply crds/ first" if error.status == 404 else ""
                log.warning("cannot list %s, retrying in 2 s%s: %s", each.resource[1], hint, error)
                await asyncio.sleep(2)
            else:
                break


async def gone(kube: Kube, kinds: tuple[Watched, ...], namespaces: tuple[str, ...]) -> list[tuple[str, Raw]]:
    """Return (kind, body) of cached objects that no longer exist; the bodies have at least metadata."""
    known = {each.kind: each.known(each.kind) for each in kinds}
    deleted: list[tuple[str, Raw]] = []
    for each in kinds:
        existing = {body["metadata"]["uid"] async for body in _listed(kube, each, namespaces, metadata_only=True)}
        deleted += [(each.kind, body) for uid, body in known[each.kind].items() if uid not in existing]
    return deleted


def plain(body: Raw) -> Raw:
    """Return an object without managedFields, which are half of its size. Workloads retain them: serving reads them."""
    if body["kind"] in WORKLOADS:
        return body
    return {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "managedFields"}}


async def _listed(
    kube: Kube, what: Watched, namespaces: tuple[str, ...], *, metadata_only: bool = False
) -> AsyncIterator[Raw]:
    for namespace in namespaces or ("",):
        async for body in kube.list(what.resource, namespace, what.selector, metadata_only=metadata_only):
            # List items have no kind and apiVersion.
            body["kind"], body["apiVersion"] = what.kind, what.api_version
            yield plain(body)
