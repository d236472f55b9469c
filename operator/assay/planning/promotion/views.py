"""Converts API objects to the input of verdicts. Nothing is judged here."""

import hashlib
import json
from dataclasses import replace

from assay.api import evidence, names
from assay.api.approvals import read_approval
from assay.api.modelversion import ApprovalStatus, HeldStatus, ModelVersionSpec, ModelVersionStatus
from assay.api.objects import Raw
from assay.api.promotionpolicy import PromotionPolicySpec
from assay.planning.promotion.approvals import fingerprint
from assay.planning.promotion.policies import Approval, Held, Policy, VersionView, policy_view


def version_view(body: Raw, held: list[HeldStatus]) -> VersionView:
    """Return the view of a ModelVersion. ``held`` are the periods in which an alias pointed to its bytes."""
    metadata = body["metadata"]
    spec = ModelVersionSpec.model_validate(body["spec"])
    status = ModelVersionStatus.model_validate(body.get("status") or {})
    # Prefer the run's provenance: a manifest may omit fields that a gate uses.
    provenance = status.provenance or spec.provenance
    true = {condition.type for condition in status.conditions if condition.status == "True"}
    metrics = {name: record.model_dump() for name, record in provenance.metrics.items()} if provenance else {}
    return VersionView(
        name=metadata["name"],
        model=spec.model,
        version=spec.version,
        digest=spec.artifact.digest,
        owner=spec.owner or "",
        run_owner=status.run_owner or "",
        metrics=metrics,
        metrics_omitted=(provenance.metrics_omitted or 0) if provenance else 0,
        parameters=provenance.parameters if provenance else {},
        approvals=_approvals(metadata.get("annotations") or {}, status.approvals),
        evidence=frozenset(kind.name for kind in evidence.KINDS if kind.condition in true),
        archived=names.LABEL_ARCHIVED in (metadata.get("labels") or {}),
        deleting=bool(metadata.get("deletionTimestamp")),
        held=tuple(Held(each.alias, each.from_, each.to) for each in held),
    )


def _approvals(annotations: dict[str, str], seen: list[ApprovalStatus]) -> tuple[Approval, ...]:
    """Return the approvals in the annotations, with their times from the status.

    Approvals that are not in the status yet are skipped: without a time, they would never expire.
    """
    since = {(each.alias, each.id, each.fingerprint): each.since for each in seen}
    found = []
    for key, value in sorted(annotations.items()):
        said = read_approval(key, value)
        at = since.get((said.alias, said.id, fingerprint(value))) if said is not None else None
        if said is not None and at is not None:
            found.append(Approval(said.id, said.alias, said.digest, said.approver, said.comment, at, said.groups))
    return tuple(found)


def policy_of(body: Raw) -> Policy:
    """Return the view of a PromotionPolicy. If its spec is invalid, the view matches and blocks every alias."""
    metadata = body["metadata"]
    try:
        found = policy_view(metadata["name"], PromotionPolicySpec.model_validate(body["spec"]))
    except ValueError as error:
        words = " ".join(str(error).split())[:500]
        found = Policy(metadata["name"], problem=f"its spec is invalid: {words}")
    return replace(
        found,
        generation=metadata.get("generation") or 0,
        digest=_digest(body["spec"]),
        changed_by=(metadata.get("annotations") or {}).get(names.ANNOTATION_CHANGED_BY) or "",
    )


def _digest(spec: Raw) -> str:
    """Return the sha256 of a spec as JSON with sorted keys and without spaces."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
