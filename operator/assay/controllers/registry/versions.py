"""Reconcile a ModelVersion: register its bytes, record its approvals, report which aliases point to it.

``aliases`` sets the label of a bound version before it reports the binding. Only this module removes the label.
"""

from assay.api import names
from assay.api.modelalias import ModelAliasStatus
from assay.api.modelversion import HeldStatus, ModelVersionStatus
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS
from assay.controllers.audit import events as audit_events
from assay.controllers.registry import registering, signatures
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.model_cache import ModelCache, alias_place, asks_for, carries, key_of
from assay.controllers.runtime.parts import ApprovalParts, KnownModelParts, ServedVersionParts, VersionParts
from assay.controllers.runtime.queue import Key, Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import credentials
from assay.kube.errors import ApiError
from assay.planning.models import versions
from assay.planning.promotion import approvals, pointers
from assay.planning.promotion.pointers import History
from assay.store import layout
from assay.store.audit import AuditEvent
from assay.store.errors import RecordError, StoreError

#: Requeue delay in seconds for a version whose number is not the next one.
_NUMBER_AGAIN = 2.0
#: Stands for an unknown owner of a run. No user has this name.
UNKNOWN = "(unknown)"


async def reconcile(context: VersionParts, key: Key) -> None:
    """Reconcile one ModelVersion."""
    body = context.models.get(key)
    if body is None or body["metadata"].get("deletionTimestamp"):
        return
    if not versions.is_settled(status_of(body)):
        body = await _settle(context, body)
    else:
        body = await _write(context, body, await signatures.attend(context, body, status_of(body)))
        body = await _know_run_owner(context, body)
    body = await take_in_approvals(context, body)
    await _account_for(context, body)
    body = await _credentials(context, body)
    await _summarise(context, body)


def status_of(body: Raw) -> ModelVersionStatus:
    """Return the status of a version."""
    return ModelVersionStatus.model_validate(body.get("status") or {})


# Bytes


async def _settle(context: VersionParts, body: Raw) -> Raw:
    """Register the bytes, or refuse them permanently."""
    status, generation = status_of(body), body["metadata"]["generation"]
    if not status.conditions:
        shown = versions.copying(status, "copying and verifying the bytes", generation=generation, now=now())
        body = await _write(context, body, _summary(context, body, shown, archived=False))
    try:
        new = await registering.register(context, body, status_of(body))
    except (StoreError, RecordError) as error:
        waiting = versions.copying(
            status_of(body), f"the store is unreachable, retrying: {error}", generation=generation, now=now()
        )
        await _write(context, body, _summary(context, body, waiting, archived=False))
        raise
    except registering.Waiting as waits:
        waiting = versions.copying(status_of(body), str(waits), generation=generation, now=now())
        await _write(context, body, _summary(context, body, waiting, archived=False))
        raise Requeue(_NUMBER_AGAIN, str(waits)) from None
    new = await signatures.attend(context, body, new)
    # _account_for must record the archiving before the status shows it.
    return await _write(context, body, _summary(context, body, new, archived=False))


async def _know_run_owner(context: VersionParts, body: Raw) -> Raw:
    """Add the owner of the run to the status of a version that was registered before this field existed."""
    status = status_of(body)
    verified = any(each.type == names.PROVENANCE_VERIFIED and each.status == "True" for each in status.conditions)
    if status.run_owner is not None or not verified:
        return body
    owner = await registering.run_owner(context, body)
    return await _write(context, body, status.model_copy(update={"run_owner": owner[:512] or UNKNOWN}))


# Approvals


async def take_in_approvals(context: ApprovalParts, body: Raw) -> Raw:
    """Record given and revoked approvals in the audit trail and in the status; return the updated version."""
    if not _new_approvals(body):
        return body
    # A version and its alias may be reconciled concurrently. The lock ensures that each approval is recorded once.
    async with context.registry.lock(body["metadata"]["namespace"], body["spec"]["model"]):
        body = context.models.get(key_of(body)) or body
        change = _new_approvals(body)
        if change is None:
            return body
        for given in change.given:
            await context.audit.record(audit_events.approval_given(body, given))
        for taken in change.gone:
            await context.audit.record(audit_events.approval_revoked(body, taken))
        known = status_of(body)
        changes = {"approvals": change.known, "approval_changes": (known.approval_changes or 0) + 1}
        return await _write(context, body, known.model_copy(update=changes))


def _new_approvals(body: Raw) -> approvals.Change | None:
    annotations = body["metadata"].get("annotations") or {}
    change = approvals.look(annotations, body["spec"]["artifact"]["digest"], status_of(body).approvals, now())
    return change if change.given or change.gone else None


# Status and labels


def held_by(models: ModelCache, body: Raw) -> list[HeldStatus]:
    """Return the periods in which an alias pointed to these bytes, as currently known."""
    namespace, _ = place(body)
    spec = body["spec"]
    histories = []
    for alias in models.aliases_of(namespace, spec["model"]):
        status = ModelAliasStatus.model_validate(alias.get("status") or {})
        histories.append(History(alias["spec"]["alias"], status.history))
    histories += models.histories_of(namespace, spec["model"])
    return pointers.held(status_of(body).held, spec["version"], spec["artifact"]["digest"], histories, now())


async def _account_for(context: VersionParts, body: Raw) -> None:
    """Record in the audit trail that the version was archived, or that an alias that pointed to it was deleted."""
    status, namespace = status_of(body), body["metadata"]["namespace"]
    archived = is_archived(body)
    if archived != (status.phase == "Archived"):
        await context.audit.record(audit_events.version_archived(body, archived))
    for alias in set(status.aliases) - set(pointers.holding(held_by(context.models, body))):
        # The lock keeps the record out of a binding that is recorded, but not in the alias's status yet.
        async with context.registry.lock(namespace, body["spec"]["model"]):
            known = context.models.aliases.get(alias_place(namespace, body["spec"]["model"], alias))
            # An alias that was created again points to nothing at first. Once it does, that record shows the change.
            if ((known or {}).get("status") or {}).get("boundVersion") is None:
                await context.audit.record(_released(body, alias))


def _released(body: Raw, alias: str) -> AuditEvent:
    """Return the event for a deleted alias, from the version's status: the operator may have missed the deletion."""
    metadata, spec = body["metadata"], body["spec"]
    since = max(each.from_ for each in status_of(body).held if each.alias == alias and each.to is None)
    last_seen = {
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{spec['model']}.{alias}",
            "uid": metadata["uid"],
        },
        "status": {"boundVersion": spec["version"], "boundDigest": spec["artifact"]["digest"]},
    }
    event = audit_events.alias_released(last_seen)
    name = f"{metadata['uid']}/released/{alias}/{since.isoformat()}"
    return event.model_copy(update={"event": name, "object": event.object.model_copy(update={"uid": ""})})


def is_archived(body: Raw) -> bool:
    """Whether a version is archived: it is hidden, and no alias can be bound to it."""
    return names.LABEL_ARCHIVED in (body["metadata"].get("labels") or {})


def _summary(context: VersionParts, body: Raw, status: ModelVersionStatus, *, archived: bool) -> ModelVersionStatus:
    return versions.summarise(
        status,
        held_by(context.models, body),
        archived=archived,
        generation=body["metadata"]["generation"],
        now=now(),
    )


async def _summarise(context: VersionParts, body: Raw) -> None:
    before = status_of(body)
    body = await _write(context, body, _summary(context, body, before, archived=is_archived(body)))
    await _release(context, body)
    for alias in context.models.aliases_of(body["metadata"]["namespace"], body["spec"]["model"]):
        if alias["spec"]["version"] == body["spec"]["version"]:
            context.queue.add(key_of(alias))


async def _release(context: VersionParts, body: Raw) -> None:
    """Correct the labels: ``bound`` while an alias points to the version, ``target`` while one can roll back to it."""
    namespace, name = place(body)
    if not _wrong_labels(context, body):
        return
    async with context.registry.lock(namespace, body["spec"]["model"]):
        # The answer to the write of a binding may have been lost, and the watch may not have shown it yet.
        async for alias in context.kube.list(MODEL_ALIASES, namespace):
            context.ingest({**alias, "kind": names.MODEL_ALIAS, "apiVersion": names.API_VERSION})
        labels = _wrong_labels(context, body)
        if not labels:
            return
        # The guard prevents a patch of a newer object: its response would hide another writer's change from us.
        guard = {key: body["metadata"][key] for key in ("resourceVersion", "uid")}
        patch = {"metadata": {**guard, "labels": labels}}
        try:
            written = await context.kube.merge_patch(MODEL_VERSIONS, namespace, name, patch)
        except ApiError as error:
            if error.status == 409:
                raise Requeue(0.05, "the version changed since it was read") from None
            raise
        if written is not None:
            context.ingest(written)


def _wrong_labels(context: VersionParts, body: Raw) -> dict[str, str | None]:
    """Return the changes that correct the version's labels; {} if they are correct.

    This never adds the label ``bound``. Only ``aliases`` does, before the binding is visible anywhere else.
    """
    there = body["metadata"].get("labels") or {}
    bound = bool(pointers.holding(held_by(context.models, body))) or _is_served(context.models, body)
    target = bound or _is_target(context.models, body)
    wrong: dict[str, str | None] = {}
    if names.LABEL_BOUND in there and not bound:
        wrong[names.LABEL_BOUND] = None
    if (names.LABEL_TARGET in there) != target:
        wrong[names.LABEL_TARGET] = "true" if target else None
    return wrong


def _is_target(models: ModelCache, body: Raw) -> bool:
    """Whether an existing alias has these bytes in its history, so that it can roll back to them."""
    namespace, spec = body["metadata"]["namespace"], body["spec"]
    return any(
        binding.version == spec["version"] and binding.digest in (None, spec["artifact"]["digest"])
        for alias in models.aliases_of(namespace, spec["model"])
        for binding in ModelAliasStatus.model_validate(alias.get("status") or {}).history
    )


# Credentials


async def ensure_credentials(context: ServedVersionParts, body: Raw) -> str:
    """Create or refresh the Secret that pods use to download the version; return its name."""
    status = status_of(body)
    fresh = status.credentials
    if fresh is None or credentials.stale(fresh, context.settings.store.sts_duration, now()):
        fresh = await credentials.issue_for_model(context, body, prefix_of(body), lambda: context.models.exists(body))
        await _write(context, body, status.model_copy(update={"credentials": fresh}))
    return fresh.secret


def prefix_of(body: Raw) -> str:
    """Return the prefix of a version's bytes in the store, without a trailing slash."""
    namespace, _ = place(body)
    return layout.model_prefix(namespace, body["spec"]["model"], body["spec"]["version"])


async def _credentials(context: VersionParts, body: Raw) -> Raw:
    """Refresh the credentials of a served version, and revoke those of any other version."""
    status = status_of(body)
    if status.credentials is None:
        return body
    if _is_served(context.models, body) or _is_replaced(context, body):
        await ensure_credentials(context, body)
        return context.models.get(key_of(body)) or body
    await credentials.revoke_for_model(context.kube, body)
    return await _write(context, body, status.model_copy(update={"credentials": None}))


def _is_served(models: ModelCache, body: Raw) -> bool:
    """Whether pods may need the version's bytes, even if the alias that they follow was deleted."""
    spec = body["spec"]
    return models.serves(body["metadata"]["namespace"], spec["model"], spec["version"])


def _is_replaced(context: VersionParts, body: Raw) -> bool:
    """Whether pods of an earlier rollout may still start with the version: a follower of its model is not ready yet."""
    namespace, model = body["metadata"]["namespace"], body["spec"]["model"]
    for workload in context.models.workloads():
        asked = asks_for(workload)
        if workload["metadata"]["namespace"] == namespace and asked and asked[0] == model:
            found = context.registry.rollouts.get(key_of(workload))
            carried = carries(workload)
            if found is None or found.state != "ready" or (carried and carried[1] != found.version):
                return True
    return False


async def forget(context: VersionParts, key: Key) -> None:
    """Record the deletion of a version. Its bytes stay in the store."""
    body = context.models.deleted.get(key.uid)
    if body is not None:
        await context.audit.record(audit_events.version_deleted(body))
        context.models.deleted.pop(key.uid, None)


async def _write(context: KnownModelParts, body: Raw, new: ModelVersionStatus) -> Raw:
    """Write the status if it changed, and return the updated version."""
    written = await statuses.write(context.kube, MODEL_VERSIONS, body, new.to_dict(), context.ingest)
    if written is None:
        raise Requeue(1.0, "the version was deleted")
    context.ingest(written)
    return written
