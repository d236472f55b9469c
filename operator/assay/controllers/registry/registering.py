"""Registration: create a version from a run; find a version's bytes, check access to them, copy and verify them.

Version numbers are allocated in the store. A number stays taken after its version is deleted. A manifest's claims are
trusted only as far as the store and the run confirm them.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from assay.api import names
from assay.api.modelversion import (
    ARTIFACT_URI,
    ArtifactStatus,
    ModelVersionSpec,
    ModelVersionStatus,
    Provenance,
    RunReference,
)
from assay.api.objects import Raw
from assay.api.resources import MODEL_VERSIONS, NAMESPACES, RUNS
from assay.controllers import metrics
from assay.controllers.audit import events as audit_events
from assay.controllers.runtime import tenancy
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import RegisterRunParts, VersionParts
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.planning.conditions import counted, flag
from assay.planning.models import registration, versions
from assay.planning.models.versions import Flag, Refused
from assay.planning.runs import recipe
from assay.store import archive, layout, models, numbers, recorded
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, StoreError
from assay.store.models import RegisteredModel
from assay.store.records import RunIdentity


class Waiting(Exception):
    """The version waits because its number is not the next one. The message gives the reason."""


class Full(Exception):
    """The experiment has reached the limit of versions in its spec."""


class Origin(NamedTuple):
    """Where a version's bytes are, and whether its provenance is verified.

    ``provenance`` is the run's; None if it equals the one in the spec, or if the run is unknown.
    """

    uri: str
    run: RunIdentity | None
    provenance: Raw | None
    flag: Flag
    #: Whether the run can be reproduced.
    recipe: Flag
    #: The owner of the run; "" if unknown.
    run_owner: str = ""


# Creating a version from a run


async def register_run(
    context: RegisterRunParts, run: Raw, model: str, full: Callable[[], bool] = lambda: False
) -> Raw:
    """Create the ModelVersion of a run with the next free number. Return the existing version if there is one.

    ``full`` returns whether the limit of versions is reached. It is called with the model locked. Raises Full if it
    returns True, ApiError if the API server refuses the version, and StoreError.
    """
    namespace, uid = run["metadata"]["namespace"], run["metadata"]["uid"]
    taken: set[int] = set()
    async with context.registry.lock(namespace, model):
        while True:
            known = context.models.version_of_run(namespace, model, uid)
            if known is not None:
                return known
            if full():
                raise Full
            number = await context.store.run(
                numbers.allocate,
                context.store.blocking,
                namespace,
                model,
                f"run/{uid}",
                context.models.highest(namespace, model),
                taken,
            )
            version = await _create(context, _body(context, run, model, number), uid)
            if version is not None:
                context.ingest(version)
                return version
            taken.add(number)


def _body(context: RegisterRunParts, run: Raw, model: str, number: int) -> Raw:
    body = registration.version_body(run, model, number)
    uri = _uri_of(run)
    if re.fullmatch(ARTIFACT_URI, uri):
        # The run may be deleted before the bytes are copied. A path that no URI can hold needs the run.
        body["spec"]["artifact"]["uri"] = uri
    return body


async def _create(context: RegisterRunParts, body: Raw, run_uid: str) -> Raw | None:
    """Create the version. If the name is taken, return the existing version if it is from this run, else None."""
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    created = await context.kube.create(MODEL_VERSIONS, namespace, body)
    if created is not None:
        context.events.post(created, names.REGISTERED, f"from run {body['spec']['run']['name']}")
        return created
    found = await context.kube.get(MODEL_VERSIONS, namespace, name)
    if found is None:
        raise Requeue(0.5, f"{name} was deleted")
    return found if (found["spec"].get("run") or {}).get("uid") == run_uid else None


def _uri_of(run: Raw) -> str:
    status = run["status"]
    return f"{status['record']['artifacts']}{status['model']['path']}"


# Copying the bytes of a version


async def register(context: VersionParts, body: Raw, status: ModelVersionStatus) -> ModelVersionStatus:
    """Copy and verify the bytes of a version, and return its status. A mismatch refuses the version permanently.

    Raises StoreError if the store is unavailable, Waiting while a smaller number is free.
    """
    spec = ModelVersionSpec.model_validate(body["spec"])
    generation = body["metadata"]["generation"]
    try:
        await _claim(context, body, spec)
        origin = await _origin(context, body, spec)
        copied = await _copy(context, body, spec, origin)
    except Refused as refusal:
        user = context.settings.user
        await context.audit.record(audit_events.registration_refused(body, refusal.message, operator=user))
        context.events.post(body, refusal.reason, refusal.message, warning=True)
        return versions.refused(status, refusal, generation=generation, now=now())
    artifact = _artifact(copied)
    provenance = None if origin.provenance is None else Provenance.model_validate(origin.provenance)
    verified = origin.flag[0] == "True"
    await context.audit.record(audit_events.version_registered(body, artifact, provenance, verified=verified))
    metrics.MODEL_BYTES.inc(copied.bytes)
    context.events.post(
        body, names.VERIFIED, f"{counted(copied.files, 'file')}, {copied.bytes} bytes copied to {copied.uri}"
    )
    new = versions.registered(
        status, artifact, provenance, origin.flag, origin.recipe, generation=generation, now=now()
    )
    return new.model_copy(update={"run_owner": origin.run_owner[:512] or None})


async def run_owner(context: VersionParts, body: Raw) -> str:
    """Return the owner of the run that a version comes from; "" if the run cannot be found."""
    spec = ModelVersionSpec.model_validate(body["spec"])
    try:
        run = await _named_run(context, body, spec)
    except (Requeue, StoreError):
        return ""
    return _owner_of(run)


def _owner_of(run: Raw | None) -> str:
    return str(((run or {}).get("spec") or {}).get("owner") or "")


async def _claim(context: VersionParts, body: Raw, spec: ModelVersionSpec) -> None:
    """Claim the number permanently. Raises Refused if another version used it, Waiting if it is not the next one."""
    namespace = body["metadata"]["namespace"]
    highest = await context.store.run(numbers.last_number, context.store.blocking, namespace, spec.model)
    ahead = registration.number_ahead(spec.version, highest, foreign=_is_foreign(context, namespace, spec))
    if ahead:
        raise Waiting(f"{spec.model}.v{spec.version} waits: {ahead}")
    claimant = f"run/{spec.run.uid}" if spec.run else f"manifest/{spec.artifact.digest}"
    owner = await context.store.run(
        numbers.claim, context.store.blocking, namespace, spec.model, spec.version, claimant
    )
    if owner != claimant:
        raise Refused(
            names.NAME_TAKEN,
            f"the number {spec.version} of {spec.model} was given to {owner} before, and numbers are never reused: "
            f"choose a higher one",
        )


async def _origin(context: VersionParts, body: Raw, spec: ModelVersionSpec) -> Origin:
    """Return where the bytes are, and whether the named run produced them. Raises Refused."""
    run = await _named_run(context, body, spec)
    identity = None
    if spec.run is not None:
        namespace, _ = place(body)
        identity = RunIdentity(
            namespace=namespace, name=spec.run.name, uid=spec.run.uid, experiment=spec.run.experiment or ""
        )
    if run is None:
        if spec.artifact.uri is None:
            named = spec.run.name if spec.run else ""
            raise Refused(
                names.SOURCE_MISSING,
                f"there is no Run {named} with the UID in spec.run.uid: "
                "set spec.artifact.uri to the location of the bytes",
            )
        await _check_entitled(context, body, spec.artifact.uri)
        claimed = "no run in this cluster confirms the metrics and parameters of the manifest"
        unknown = flag(False, names.CLAIMED, "no run in this cluster confirms it: its recipe is unknown")
        return Origin(spec.artifact.uri, identity, None, flag(False, names.CLAIMED, claimed), unknown)
    found = _agree(body, spec, run)
    provenance = None if found == body["spec"].get("provenance") else found
    recorded = flag(True, names.FROM_RUN, f"it matches the record of run {run['metadata']['name']}")
    return Origin(_uri_of(run), identity, provenance, recorded, recipe.condition_of(run), _owner_of(run))


async def _named_run(context: VersionParts, body: Raw, spec: ModelVersionSpec) -> Raw | None:
    if spec.run is None:
        return None
    namespace, _ = place(body)
    run = await context.kube.get(RUNS, namespace, spec.run.name)
    if run is None or run["metadata"]["uid"] != spec.run.uid:
        await _check_record(context, body, spec.run)
        return await _archived_run(context, namespace, spec.run) or await _recorded_run(context, body, spec)
    phase = (run.get("status") or {}).get("phase")
    if phase not in ("Succeeded", "Failed") and spec.artifact.uri is None:
        raise Requeue(5.0, f"run {spec.run.name} is still running")
    return run


async def _check_record(context: VersionParts, body: Raw, named: RunReference) -> None:
    """Raise Refused if the record of a deleted run belongs to an earlier namespace of the same name."""
    try:
        prefix = layout.run_prefix(place(body)[0], named.experiment, named.name, named.uid)
    except ValueError:
        return  # the name is invalid, so there is no such run and no record
    await _check_tenancy(context, body, f"s3://{context.settings.store.bucket}/{prefix}/")


async def _archived_run(context: VersionParts, namespace: str, named: RunReference) -> Raw | None:
    """Return an archived run from its record; None if it was not archived."""
    try:
        return await context.store.run(
            archive.read_archived, context.store.blocking, namespace, named.experiment, named.name, named.uid
        )
    except (RecordError, ValueError):
        return None


async def _recorded_run(context: VersionParts, body: Raw, spec: ModelVersionSpec) -> Raw | None:
    """Return a deleted, unarchived run in its final state; None if it has no record or contradicts the version."""
    named, (namespace, _) = spec.run, place(body)
    if named is None:
        return None
    try:
        run = await context.store.run(
            recorded.read_run, context.store.blocking, namespace, named.experiment, named.name, named.uid
        )
        _agree(body, spec, run)
    except (RecordError, NotFound, ValueError, Refused):
        return None
    return run


def _agree(body: Raw, spec: ModelVersionSpec, run: Raw) -> Raw:
    """Return the run's provenance. Raises Refused if the version contradicts the run."""
    name, status = run["metadata"]["name"], run.get("status") or {}
    made = status.get("model") or {}
    if (
        status.get("phase") != "Succeeded"
        or not made.get("digest")
        or not (status.get("record") or {}).get("artifacts")
    ):
        raise Refused(
            names.RUN_MISMATCH,
            f"run {name} produced no model: only a run that succeeded and sets spec.model.path has one",
        )
    if made["digest"] != spec.artifact.digest:
        raise Refused(
            names.DIGEST_MISMATCH,
            f"expected the digest {spec.artifact.digest}, but run {name} made {made['digest']}",
        )
    another = registration.another_experiment(spec.run.experiment if spec.run else None, run)
    if another:
        raise Refused(names.RUN_MISMATCH, another)
    found = registration.provenance_of(run)
    different = registration.disagreement(body["spec"].get("provenance"), found)
    if different:
        raise Refused(names.RUN_MISMATCH, f"the manifest contradicts run {name}: {different}")
    return found


def _is_foreign(context: VersionParts, namespace: str, spec: ModelVersionSpec) -> bool:
    """Whether a version's bytes are at a URI that this namespace may only read if the platform team allows it."""
    uri = spec.artifact.uri
    return uri is not None and not registration.entitled(uri, namespace, context.settings.store.bucket, "")


async def _check_entitled(context: VersionParts, body: Raw, uri: str) -> None:
    """Raise Refused if the namespace may not use the URI.

    The admission policies check this too when a version is created, but they may not have been in force.
    """
    namespace, _ = place(body)
    found = await context.kube.get(NAMESPACES, "", namespace) or {}
    allowed = (found.get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_ALLOWED_PREFIXES, "")
    if not registration.entitled(uri, namespace, context.settings.store.bucket, allowed):
        raise Refused(names.NOT_ENTITLED, f"{uri} is outside the prefixes that this namespace may use")
    await _check_tenancy(context, body, uri)


async def _check_tenancy(context: VersionParts, body: Raw, uri: str) -> None:
    """Raise Refused if the URI belongs to an earlier namespace of the same name."""
    if why := await tenancy.refusal(context, place(body)[0], [uri]):
        raise Refused(names.NOT_ENTITLED, why)


async def _copy(context: VersionParts, body: Raw, spec: ModelVersionSpec, origin: Origin) -> RegisteredModel:
    namespace, _ = place(body)
    prefix = layout.model_prefix(namespace, spec.model, spec.version)
    await _check_tenancy(context, body, f"s3://{context.settings.store.bucket}/{prefix}/")
    try:
        return await context.copies.run(_copied, context.copies.blocking, namespace, spec, origin)
    except RecordError as error:
        raise Refused(names.DIGEST_MISMATCH, str(error)) from None
    except (NotFound, ValueError) as error:
        raise Refused(names.SOURCE_MISSING, str(error)) from None


def _copied(store: ObjectStore, namespace: str, spec: ModelVersionSpec, origin: Origin) -> RegisteredModel:
    # The bytes may already be copied: a lost ModelVersion can be created again after its source has expired.
    known = models.registered_model(store, namespace, spec.model, spec.version, spec.artifact.digest)
    if known is not None:
        return known
    source = models.source_of_uri(store, origin.uri)
    return models.copy_model(store, source, namespace, spec.model, spec.version, spec.artifact.digest, origin.run)


def _artifact(copied: RegisteredModel) -> ArtifactStatus:
    return ArtifactStatus(
        uri=copied.uri,
        digest=copied.manifest.digest,
        manifest_digest=copied.manifest_digest,
        path=copied.manifest.path.removeprefix(layout.ARTIFACT).lstrip("/") or None,
        files=copied.files,
        bytes=copied.bytes,
    )
