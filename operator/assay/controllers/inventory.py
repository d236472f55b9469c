"""Takes stock by listing: once before the first reconcile, and now and then to find what is gone.

kopf delivers what exists and what changes, but never says when its first listing is through, and what is deleted
while a watch is broken it does not report at all. Its own index handlers would answer the first question at a cost
that grows with the square of the number of objects.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from assay.api import names
from assay.controllers.kube import EXPERIMENTS, JOBS, PODS, RUNS, ApiError, Kube, Resource
from assay.controllers.world import World

log = logging.getLogger(__name__)

Raw = dict[str, Any]

#: What is watched, with the label selector of each.
WATCHED: tuple[tuple[Resource, str], ...] = (
    (EXPERIMENTS, ""),
    (RUNS, ""),
    (JOBS, names.LABEL_RUN_UID),
    (PODS, names.LABEL_RUN_UID),
)
_KINDS = {EXPERIMENTS: names.EXPERIMENT, RUNS: names.RUN, JOBS: "Job", PODS: "Pod"}
_API_VERSIONS = {EXPERIMENTS: names.API_VERSION, RUNS: names.API_VERSION, JOBS: "batch/v1", PODS: "v1"}


async def fill(kube: Kube, world: World, namespaces: tuple[str, ...]) -> None:
    """Take in everything that exists, waiting for the API server and the CRDs as long as it takes."""
    see: dict[Resource, Callable[[Raw], object]] = {
        EXPERIMENTS: world.see_experiment,
        RUNS: world.see_run,
        JOBS: world.see_job,
        PODS: world.see_pod,
    }
    for resource, selector in WATCHED:
        while True:
            try:
                async for body in _listed(kube, resource, selector, namespaces):
                    see[resource](body)
            except ApiError as error:
                hint = ": apply crds/ first" if error.status == 404 else ""
                log.warning("cannot list %s, again in 2 s%s: %s", resource[1], hint, error)
                await asyncio.sleep(2)
            else:
                break


async def gone(kube: Kube, world: World, namespaces: tuple[str, ...]) -> list[tuple[Resource, Raw]]:
    """Return what the world holds and the API server no longer has, as bodies with their metadata only."""
    known = {resource: world.known(_KINDS[resource]) for resource, _ in WATCHED}
    lost: list[tuple[Resource, Raw]] = []
    for resource, selector in WATCHED:
        there = {
            body["metadata"]["uid"] async for body in _listed(kube, resource, selector, namespaces, metadata_only=True)
        }
        lost += [(resource, body) for uid, body in known[resource].items() if uid not in there]
    return lost


async def _listed(
    kube: Kube, resource: Resource, selector: str, namespaces: tuple[str, ...], *, metadata_only: bool = False
) -> AsyncIterator[Raw]:
    for namespace in namespaces or ("",):
        async for body in kube.list(resource, namespace, selector, metadata_only=metadata_only):
            # The items of a list do not say what they are.
            body["kind"], body["apiVersion"] = _KINDS[resource], _API_VERSIONS[resource]
            body["metadata"].pop("managedFields", None)
            yield body
