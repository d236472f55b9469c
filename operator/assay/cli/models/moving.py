"""Moves an alias: predicts the outcome, writes the request, and waits for the result."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Literal

from typing_extensions import TypedDict

from assay.api.modelalias import ModelAliasStatus
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES
from assay.cli.errors import NO, NOT_FOUND, OK, USAGE, CliError
from assay.cli.models import following
from assay.cli.models.following import Progress
from assay.cli.models.why import print_serving
from assay.cli.output import printing, requirements, sheets
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.planning.promotion import binding
from assay.planning.promotion.policies import Verdict, parse_duration
from assay.queries import references
from assay.queries.promotion import cases, requests, rights, why
from assay.queries.promotion.cases import Case, Requirement
from assay.queries.promotion.why import Workload

Outcome = Literal["bound", "held", "rolling", "unseen", "failed", "requested", "dryRun"]


class Moved(TypedDict):
    """The result of a move. ``allowed`` and ``requirements`` are the prediction made before it."""

    alias: str
    version: int
    before: int | None
    outcome: Outcome
    message: str
    allowed: bool
    requirements: list[Requirement]
    warnings: list[str]
    serving: list[Workload]


class Mover:
    """Moves one alias and prints the result."""

    def __init__(
        self, session: Session, model: str, alias: str, *, timeout: str, wait: bool, dry_run: bool, output: Document
    ) -> None:
        if references.alias_name(f"{model}.{alias}") is None:
            hint = "give a model and an alias, for example: digits champion"
            raise CliError(f"invalid alias name '{model} {alias}'", hint=hint, code=USAGE)
        self.timeout = _timeout(timeout)
        self.session, self.wait, self.dry_run, self.output = session, wait, dry_run, output
        self.case = Case(session, model, alias)

    def promote(self, text: str, comment: str) -> int:
        """Point the alias to a version, and return the exit code. Raises AssayError."""
        case, session = self.case, self.session
        version = _number(case.view.model, text)
        candidate = references.version(session, f"{case.view.model}/{version}")
        rights.require(session, "bind", case.view.model, case.view.alias)
        if case.status.bound_version == version and case.body and case.body["spec"]["version"] == version:
            judged = Verdict(True, ())
            printing.note(f"{case.name} already points to v{version}")
        else:
            judged = case.judge(version, candidate)
            self._predict(version, judged, case.values(candidate))
            self._point(version, comment)
        return self._end(version, judged, lambda body: following.promotion(body, version))

    def roll_back(self, text: str, comment: str) -> int:
        """Roll the alias back to a version that was live before, and return the exit code. Raises AssayError."""
        case, session = self.case, self.session
        if case.body is None:
            references.alias(session, case.name)  # raises, with a hint
        version = _number(case.view.model, text) if text else self._previous()
        candidate = references.version(session, f"{case.view.model}/{version}")
        rights.require(session, "rollback", case.view.model, case.view.alias)
        judged = case.judge_rollback(candidate)
        if not judged.allowed:
            raise CliError(f"cannot roll back {case.name}: {cases.unmet(judged)}", hint=self._earlier(), code=NO)
        if failure := binding.failure_of(case.status, version):
            which = f"v{version}" if text else f"the previous version is v{version}, which"
            printing.note(f"warning: {which} failed when it was live: {failure}; {self._earlier()}")
        if self.output is Document.TEXT:
            live = case.status.bound_version
            printing.write(f"{case.name}: v{version} replaces v{live}; no approval is needed")
        patch = requests.rollback(case.body or {}, version, session.kube.whoami(), comment)
        before = following.refusals(session, case.name)
        session.kube.patch(MODEL_ALIASES, session.namespace, case.name, patch, dry_run=self.dry_run)
        return self._end(version, judged, self._rollback_progress(version, before))

    def _point(self, version: int, comment: str) -> None:
        """Write the spec."""
        case, kube, namespace = self.case, self.session.kube, self.session.namespace
        if case.body is None:
            body = requests.new_alias(case, version, kube.whoami(), comment)
            kube.create(MODEL_ALIASES, namespace, body, dry_run=self.dry_run)
            return
        patch = requests.promotion(case, version, kube.whoami(), comment)
        if patch is None:
            printing.note(f"v{version} is already requested for {case.name}")
            return
        kube.patch(MODEL_ALIASES, namespace, case.name, patch, dry_run=self.dry_run)

    def _predict(self, version: int, judged: Verdict, values: Any) -> None:
        if self.output is Document.TEXT:
            live = self.case.status.bound_version
            printing.write(
                f"{self.case.name}: {f'v{live} is live' if live else 'nothing is bound'}, v{version} "
                f"{'meets all requirements' if judged.allowed else 'will be blocked until it meets all requirements'}"
            )
            requirements.show(cases.requirements(judged, values, self.case.policies), judged.warnings)
        for text in self.case.notes:
            printing.note(text)

    def _previous(self) -> int:
        status = self.case.status
        if status.previous_version is None:
            raise CliError(f"{self.case.name} has no earlier version", code=NOT_FOUND)
        return status.previous_version

    def _earlier(self) -> str:
        versions = sorted({each.version for each in self.case.status.history})
        return f"versions that were live: {', '.join(f'v{each}' for each in versions)}" if versions else ""

    def _rollback_progress(self, version: int, before: Collection[str]) -> Callable[[Raw], Progress]:
        def look(body: Raw) -> Progress:
            found = following.rollback(body, version)
            if found.state != "failed" or not found.unsure:
                return found
            refusals = following.refusals(self.session, self.case.name).items()
            return next((Progress("failed", text) for key, text in refusals if key not in before), found)

        return look

    def _end(self, version: int, judged: Verdict, look: Callable[[Raw], Progress]) -> int:
        """Wait if requested, print the result, and return the exit code."""
        if self.dry_run:
            self._print_answer(version, judged, "dryRun", "dry run: nothing was written", [])
            return OK if judged.allowed else NO
        if not self.wait:
            self._print_answer(version, judged, "requested", f"v{version} was requested", [])
            return OK
        found = following.follow(self.session, self.case.name, look, self.timeout)
        status = (self.session.kube.get(MODEL_ALIASES, self.session.namespace, self.case.name)).get("status") or {}
        outcome: Outcome = "bound" if found.state == "done" else found.state
        self._print_answer(
            version, judged, outcome, found.message, why.serving(ModelAliasStatus.model_validate(status))
        )
        return found.code

    def _print_answer(
        self, version: int, judged: Verdict, outcome: Outcome, message: str, serving: list[Workload]
    ) -> None:
        answer: Moved = {
            "alias": self.case.name,
            "version": version,
            "before": self.case.status.bound_version,
            "outcome": outcome,
            "message": message,
            "allowed": judged.allowed,
            "requirements": cases.requirements(judged),
            "warnings": list(judged.warnings),
            "serving": serving,
        }
        if self.output is not Document.TEXT:
            printing.document(answer, self.output.value)
            return
        timed_out = " (stopped waiting)" if outcome in ("held", "rolling", "unseen") else ""
        printing.write(f"{self.case.name}: {sheets.line(message)}{timed_out}")
        print_serving(serving)


def _number(model: str, text: str) -> int:
    """Return the number of a version written as 24, v24 or digits.v24. Raises CliError."""
    plain = text if "." in text or "/" in text else f"{model}/{text.removeprefix('v')}"
    name = references.version_name(plain)
    found = re.fullmatch(rf"{re.escape(model)}\.v(\d+)", name or "")
    if found is None:
        hint = "use its number, for example 24"
        raise CliError(f"invalid version {text!r} of model {model}", hint=hint, code=USAGE)
    return int(found[1])


def _timeout(text: str) -> timedelta | None:
    """Return how long to wait; None for no limit. Raises CliError."""
    if text == "0":
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CliError(f"invalid --timeout: {error}", hint="for no limit use 0", code=USAGE) from None
