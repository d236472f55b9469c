"""Whether an alias may move to a version: foretold with the operator's own rules, from what the user may read.

The operator decides. What it will find is known beforehand as far as it depends on objects; of a signature, only what
the version's condition says.
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
    """One thing that a version needs. ``policy`` is "" where no policy asks for it."""

    policy: str
    requirement: str
    met: bool
    message: str


class Case:
    """One alias of a model, with all that a verdict on it is made from. Read when it is asked for. Raises ApiError."""

    def __init__(self, access: Access, model: str, alias: str) -> None:
        self._session = access
        self.view = AliasView(model, alias)
        self.clock = datetime.now(UTC)
        self._aliases = list(access.kube.list(MODEL_ALIASES, access.namespace, fields=f"spec.model={model}"))
        #: The ModelAlias, None while there is none.
        self.body = next((body for body in self._aliases if body["spec"]["alias"] == alias), None)
        self.status = ModelAliasStatus.model_validate((self.body or {}).get("status") or {})
        #: What the user should know of the verdicts.
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        """The alias's name."""
        return f"{self.view.model}.{self.view.alias}"

    @cached_property
    def live(self) -> Raw | None:
        """The version that the alias points to; None when that is nothing, or does not exist any more."""
        number = self.status.bound_version
        return self.version(number) if number else None

    @cached_property
    def policies(self) -> list[Policy]:
        """The policies that are about the alias."""
        found = self._session.kube.list(PROMOTION_POLICIES, self._session.namespace)
        read = (views.policy_of(body) for body in found)
        return sorted((policy for policy in read if verdict.matches(policy, self.view)), key=lambda each: each.name)

    def version(self, number: int) -> Raw | None:
        """Return a version of the model, None when there is none."""
        name = references.version_name(f"{self.view.model}/{number}") or ""
        return self._session.kube.find(MODEL_VERSIONS, self._session.namespace, name)

    def judge(self, number: int, candidate: Raw | None) -> Verdict:
        """Return what the operator would find of a version, None when it does not exist, if it looked now."""
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
        """Return whether the alias may go back to a version."""
        return judging.judge_rollback(self.view, candidate, self.view_of(candidate))

    def view_of(self, body: Raw) -> VersionView:
        """Return a version as the rules see it, with approvals that the operator has not taken in yet."""
        spec, status = body["spec"], ModelVersionStatus.model_validate(body.get("status") or {})
        digest = spec["artifact"]["digest"]
        annotations = body["metadata"].get("annotations") or {}
        status.approvals = approvals.look(annotations, digest, status.approvals, self.clock).known
        histories = [History(each["spec"]["alias"], _history(each)) for each in self._aliases]
        held = pointers.held(status.held, spec["version"], digest, histories, self.clock)
        return views.version_view({**body, "status": status.to_dict()}, held)

    def values(self, candidate: Raw) -> Values:
        """Return what gates read."""
        current = verdict.gate_values(self.view_of(self.live)) if self.live else None
        return Values({"candidate": verdict.gate_values(self.view_of(candidate)), "current": current})

    @cached_property
    def _open(self) -> bool:
        """Whether the namespace lets aliases move that no policy holds; of no matter when one does."""
        if any(policy.mode == "Enforce" for policy in self.policies):
            return False
        try:
            found = self._session.kube.get(NAMESPACES, "", self._session.namespace)
        except ApiError as error:
            if error.status != 403:
                raise
            self.notes.append(
                f"you may not read the namespace: if it carries {names.ANNOTATION_OPEN}, no approval is needed"
            )
            return False
        return (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_OPEN) == "true"


def _history(alias: Raw) -> list[Any]:
    return ModelAliasStatus.model_validate(alias.get("status") or {}).history


def requirements(judged: Verdict, values: Values | None = None, policies: Sequence[Policy] = ()) -> list[Requirement]:
    """Return the requirements of a verdict, unmet ones first; gates that are met with the values they have read."""
    gates = {(policy.name, f"gate/{gate.name}"): gate.expression for policy in policies for gate in policy.gates}
    found: list[Requirement] = []
    for each in sorted(judged.requirements, key=lambda each: each.met):
        message, expression = each.message, gates.get((each.policy, each.requirement))
        if expression and values is not None and not message:
            message = expressions.compile(expression, verdict.VARIABLES).shown(values)
        found.append({"policy": each.policy, "requirement": each.requirement, "met": each.met, "message": message})
    return found


def unmet(judged: Verdict) -> str:
    """Return in words what is missing."""
    missing = (each for each in judged.requirements if not each.met)
    return "; ".join(f"{each.policy}: {each.message}" if each.policy else each.message for each in missing)
