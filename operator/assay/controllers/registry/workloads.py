"""Reconcile Deployments and StatefulSets that follow an alias: inject the bound version and watch the rollout.

Fields are set by server-side apply with our own field manager. This module reports a failed rollout; ``aliases``
decides whether to roll back.
"""

from datetime import datetime, timedelta
from typing import Literal

from assay.api import names
from assay.api.modelalias import ModelAliasStatus
from assay.api.objects import Raw
from assay.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from assay.controllers.registry import versions
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.model_cache import (
    DEPLOYMENT,
    STATEFUL_SET,
    alias_place,
    asks_for,
    carries,
    key_of,
    version_place,
)
from assay.controllers.runtime.parts import ObjectApi, WorkloadParts
from assay.controllers.runtime.queue import Key, Requeue
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.planning.serving import injection, members, rollout
from assay.planning.serving.injection import CannotServe, Served
from assay.planning.serving.rollout import Rollout

RESOURCES: dict[str, Resource] = {DEPLOYMENT: DEPLOYMENTS, STATEFUL_SET: STATEFUL_SETS}
_LOOK_AGAIN = 1.0
_TRY_AGAIN = 30.0
#: Rollout deadline in seconds if the workload sets none: the default of a Deployment's progressDeadlineSeconds.
#: A StatefulSet has no such field.
_PATIENCE = 600


async def reconcile(context: WorkloadParts, key: Key) -> None:
    """Reconcile one workload."""
    body = context.models.get(key)
    if body is None or body["metadata"].get("deletionTimestamp"):
        _say(context, key, None, body)
        return
    try:
        asked = injection.follows(body)
        if asked is None:
            await _clean(context, key, body)
            return
        await _serve(context, key, body, asked)
    except CannotServe as error:
        _tell(context, key, body, str(error))
        raise Requeue(_TRY_AGAIN, str(error)) from None


async def _clean(context: WorkloadParts, key: Key, body: Raw) -> None:
    """Remove our fields from a workload that no longer follows an alias."""
    if carries(body) is not None:
        body = await _apply(context, key, body, None)
        left = injection.removal(body)
        if left is not None:
            context.ingest(await context.kube.strategic_patch(RESOURCES[key.kind], key.namespace, key.name, left))
    _say(context, key, None, body)


async def _serve(context: WorkloadParts, key: Key, body: Raw, asked: tuple[str, str]) -> None:
    served = await _wanted(context, key, body, asked)
    if served is None:
        return
    body = await _apply(context, key, body, served)
    began = _began(context, key, body, served)
    found = rollout.judge(body, await _pods(context.kube, body), now(), began, _patience(body))
    _say(context, key, found, body)
    if found.state == "progressing":
        raise Requeue(_LOOK_AGAIN, "the rollout is still running")


async def _wanted(context: WorkloadParts, key: Key, body: Raw, asked: tuple[str, str]) -> Served | None:
    """Return the version to serve. If there is none, report why and return None."""
    model, alias = asked
    found = context.models.aliases.get(alias_place(key.namespace, model, alias))
    status = ModelAliasStatus.model_validate((found or {}).get("status") or {})
    if status.bound_version is None:
        why = "is not bound yet" if found else "does not exist"
        waits = f"the alias {model}.{alias} {why}: the pods have no model"
        _tell(context, key, body, waits, state="progressing")
        return None
    version = context.models.versions.get(version_place(key.namespace, model, status.bound_version))
    artifact = versions.status_of(version).artifact if version else None
    if version is None or artifact is None or artifact.digest != status.bound_digest:
        _tell(
            context,
            key,
            body,
            f"{model}.v{status.bound_version} is gone, or its bytes differ from those that were bound",
        )
        return None
    return Served(
        model=model,
        alias=alias,
        version=status.bound_version,
        digest=artifact.digest or "",
        manifest_digest=artifact.manifest_digest or "",
        prefix=versions.prefix_of(version),
        secret=await versions.ensure_credentials(context, version),
        file=artifact.path or "",
    )


async def _apply(context: WorkloadParts, key: Key, body: Raw, served: Served | None) -> Raw:
    """Apply the version to serve unless it is already set; return the updated workload."""
    wanted = injection.applied(body, served, context.settings.serving)
    if injection.up_to_date(body, wanted):
        return body
    try:
        written = await context.kube.apply(RESOURCES[key.kind], key.namespace, key.name, wanted)
    except ApiError as error:
        if error.status == 404:
            raise Requeue(1.0, "the workload was deleted") from None
        if error.status == 409 or error.refused:
            await _see_again(context, key, body)
            raise CannotServe(f"the API server rejected the change: {error.message}") from None
        raise
    context.ingest(written)
    if served is not None:
        context.registry.began[key] = (served.version, now())
        context.events.post(
            written, names.SERVING, f"{served.model}.v{served.version}, which {served.alias} points to, is rolled out"
        )
    return written


async def _see_again(context: WorkloadParts, key: Key, body: Raw) -> None:
    """Raise Requeue if the workload changed since it was read: the refused patch was based on the old one."""
    fresh = await context.kube.get(RESOURCES[key.kind], key.namespace, key.name)
    if fresh is None or fresh["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
        if fresh is not None:
            context.ingest(fresh)
        raise Requeue(1.0, "the workload changed since it was read")


async def _pods(kube: ObjectApi, body: Raw) -> list[Raw]:
    """Return the pods that the workload controls."""
    namespace, selector = body["metadata"]["namespace"], _selector(body)
    sets: list[Raw] = []
    if body["kind"] == DEPLOYMENT:
        sets = [each async for each in kube.list(REPLICA_SETS, namespace, selector)]
    return members.pods_of(body, sets, [pod async for pod in kube.list(PODS, namespace, selector)])


def _selector(body: Raw) -> str:
    """Return a workload's label selector in the string form of the API."""
    selector = body["spec"]["selector"]
    parts = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or []:
        values = ",".join(each.get("values") or [])
        parts.append(
            {
                "In": f"{each['key']} in ({values})",
                "NotIn": f"{each['key']} notin ({values})",
                "Exists": each["key"],
                "DoesNotExist": f"!{each['key']}",
            }[each["operator"]]
        )
    return ",".join(parts)


def _began(context: WorkloadParts, key: Key, body: Raw, served: Served) -> datetime | None:
    """Return when the version was set in the workload. After a restart: the earliest possible time."""
    version, since = context.registry.began.get(key, (None, None))
    if version != served.version:
        alias = context.models.aliases.get(alias_place(key.namespace, served.model, served.alias))
        since = parse_time(((alias or {}).get("status") or {}).get("boundAt"))
    # One that was deleted and created again with the version in it is another workload of the same name.
    created = parse_time(body["metadata"].get("creationTimestamp"))
    return max(filter(None, (since, created)), default=None)


def _patience(body: Raw) -> timedelta:
    return timedelta(seconds=body["spec"].get("progressDeadlineSeconds") or _PATIENCE)


def _tell(
    context: WorkloadParts, key: Key, body: Raw, message: str, state: Literal["progressing", "blocked"] = "blocked"
) -> None:
    """Report why the workload cannot serve. This does not roll back the alias: the version is not the cause."""
    marks = carries(body)
    found = Rollout(marks[1] if marks else None, state, message, False)
    if context.registry.rollouts.get(key) != found:
        context.events.post(body, names.CANNOT_SERVE, message, warning=True)
    _say(context, key, found, body)


def _say(context: WorkloadParts, key: Key, found: Rollout | None, body: Raw | None) -> None:
    """Cache the state of the rollout, and enqueue the alias if it changed."""
    before = context.registry.rollouts.get(key)
    if found is None:
        context.registry.rollouts.pop(key, None)
        context.registry.began.pop(key, None)
    else:
        context.registry.rollouts[key] = found
    if found == before or body is None:
        return
    asked = asks_for(body)
    if asked is not None:
        context.queue.add(Key(names.MODEL_ALIAS, *alias_place(key.namespace, *asked)))
        if found is not None and found.state == "ready":
            # The pods of the previous version are gone, so its Secret can go too.
            for version in context.models.versions_of(key.namespace, asked[0]):
                if (version.get("status") or {}).get("credentials"):
                    context.queue.add(key_of(version))
