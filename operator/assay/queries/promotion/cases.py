"""Predicts whether an alias may move to a version, with the operator's own rules on objects that the user may read.

The operator decides. The prediction covers everything that depends on objects; for a signature, it relies on the
condition of the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from typing_extensions import TypedDict

from assay.api import names
from assay.api.modelalias import ModelAliasStatus
from assay.api.modelversion import ModelVersionStatus
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS, NAMESPACES, PROMOTION_POLICIES
from assay.kube.errors import ApiError
from assay.planning.promotion import approvals, expressions, judging, pointers, verdict, views
from assay.planning.promotion.expressions import Values
from assay.planning.promotion.judging import Live
from assay.planning.promotion.pointers import History
from assay.planning.promotion.policies import AliasView, Policy, Verdict, VersionView
from assay.queries import references
from assay.queries.access import Access


class Requirement(TypedDict):
    """One requirement of a version. ``policy`` is "" if no policy demands it."""

    policy: str
    requirement: str
    met: bool
    message: str


class Case:
    """One alias of a model, with all inputs of a verdict, read lazily. Raises ApiError."""

    def __init__(self, access: Access, model: str, alias: str) -> None:
        self._access = access
        self.view = AliasView(model, alias)
        self.clock = datetime.now(UTC)
        self._aliases = list(access.kube.list(MODEL_ALIASES, access.namespace, fields=f"spec.model={model}"))
        #: The ModelAlias, None if it does not exist.
        self.body = next((body for body in self._aliases if body["spec"]["alias"] == alias), None)
        self.status = ModelAliasStatus.model_validate((self.body or {}).get("status") or {})
        #: Notes for the user about the verdicts.
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        """The name of the ModelAlias."""
        return f"{self.view.model}.{self.view.alias}"

    @cached_property
    def live(self) -> Raw | None:
        """The live version; None if nothing is bound, or the version no longer exists."""
        number = self.status.bound_version
        return self.version(number) if number else None

    @cached_property
    def policies(self) -> list[Policy]:
        """The policies that match the alias."""
        found = self._access.kube.list(PROMOTION_POLICIES, self._access.namespace)
        read = (views.policy_of(body) for body in found)
        return sorted((policy for policy in read if verdict.matches(policy, self.view)), key=lambda each: each.name)

    def version(self, number: int) -> Raw | None:
        """Return a version of the model, None if it does not exist."""
        name = references.version_name(f"{self.view.model}/{number}") or ""
        return self._access.kube.find(MODEL_VERSIONS, self._access.namespace, name)

    def judge(self, number: int, candidate: Raw | None) -> Verdict:
        """Return the verdict that the operator would reach now; ``candidate`` is None if the version does not exist."""
        if candidate is None:
            return judging.missing(self.view, number)
        live = None
        if self.status.bound_version is not None:
            live = Live(self.status.bound_version, self.view_of(self.live) if self.live else None)
        candidate_view = self.view_of(candidate)
        return judging.judge(
            self.view, candidate, candidate_view, live, self.policies, self.clock, open_by_default=self._open
        )

    def judge_rollback(self, candidate: Raw) -> Verdict:
        """Return whether the alias may be rolled back to a version."""
        return judging.judge_rollback(self.view, candidate, self.view_of(candidate))

    def view_of(self, body: Raw) -> VersionView:
        """Return the view of a version for the rules, including approvals that the operator has not processed yet."""
        spec, status = body["spec"], ModelVersionStatus.model_validate(body.get("status") or {})
        digest = spec["artifact"]["digest"]
        annotations = body["metadata"].get("annotations") or {}
        status.approvals = approvals.look(annotations, digest, status.approvals, self.clock).known
        histories = [History(each["spec"]["alias"], _history(each)) for each in self._aliases]
        held = pointers.held(status.held, spec["version"], digest, histories, self.clock)
        return views.version_view({**body, "status": status.to_dict()}, held)

    def values(self, candidate: Raw) -> Values:
        """Return the variables of gates."""
        current = verdict.gate_values(self.view_of(self.live)) if self.live else None
        return Values({"candidate": verdict.gate_values(self.view_of(candidate)), "current": current})

    @cached_property
    def _open(self) -> bool:
        """Whether the namespace allows aliases without a policy to move; irrelevant if a policy is enforced."""
        if any(policy.mode == "Enforce" for policy in self.policies):
            return False
        try:
            found = self._access.kube.get(NAMESPACES, "", self._access.namespace)
        except ApiError as error:
            if error.status != 403:
                raise
            self.notes.append(
                f"you may not read the namespace {self._access.namespace}: if it has the annotation "
                f"{names.ANNOTATION_OPEN}, no approval is needed"
            )
            return False
        return (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_OPEN) == "true"


def _history(alias: Raw) -> list[Any]:
    return ModelAliasStatus.model_validate(alias.get("status") or {}).history


def requirements(judged: Verdict, values: Values | None = None, policies: Sequence[Policy] = ()) -> list[Requirement]:
    """Return the requirements of a verdict, unmet ones first. The message of a met gate shows its values."""
    gates = {(policy.name, f"gate/{gate.name}"): gate.expression for policy in policies for gate in policy.gates}
    found: list[Requirement] = []
    for each in sorted(judged.requirements, key=lambda each: each.met):
        message, expression = each.message, gates.get((each.policy, each.requirement))
        if expression and values is not None and not message:
            message = expressions.compile(expression, verdict.VARIABLES).shown(values)
        found.append({"policy": each.policy, "requirement": each.requirement, "met": each.met, "message": message})
    return found


def unmet(judged: Verdict) -> str:
    """Return the messages of unmet requirements as one string."""
    missing = (each for each in judged.requirements if not each.met)
    return "; ".join(f"{each.policy}: {each.message}" if each.policy else each.message for each in missing)
