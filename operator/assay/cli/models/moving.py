"""Moving an alias: what would become of it first, then the write, then what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from typing_extensions import TypedDict

from assay.api import names
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
from assay.queries.promotion import cases, rights, why
from assay.queries.promotion.cases import Case, Requirement
from assay.queries.promotion.why import Workload

Outcome = Literal["bound", "held", "rolling", "unseen", "failed", "requested", "dryRun"]


class Moved(TypedDict):
    """What has become of a move. ``allowed`` and ``requirements`` are what was foretold before it."""

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
    """One alias that is to be moved, and how the answer is to be given."""

    def __init__(
        self, session: Session, model: str, alias: str, *, timeout: str, wait: bool, dry_run: bool, output: Document
    ) -> None:
        if references.alias_name(f"{model}.{alias}") is None:
            hint = "a model and an alias, for example: digits champion"
            raise CliError(f"{model} {alias} can be no alias", hint=hint, code=USAGE)
        self.timeout = _timeout(timeout)
        self.session, self.wait, self.dry_run, self.output = session, wait, dry_run, output
        self.case = Case(session, model, alias)

    def promote(self, text: str, comment: str) -> int:
        """Point the alias to a version, and return the exit code. Raises CliError."""
        case, session = self.case, self.session
        version = _number(case.view.model, text)
        candidate = references.version(session, f"{case.view.model}/{version}")
        rights.require(session, "bind", case.view.model, case.view.alias)
        if case.status.bound_version == version and case.body and case.body["spec"]["version"] == version:
            judged = Verdict(True, ())
            printing.note(f"{case.name} points to v{version} already")
        else:
            judged = case.judge(version, candidate)
            self._foretell(version, judged, case.values(candidate))
            self._point(version, comment)
        return self._end(version, judged, lambda body: following.promotion(body, version))

    def roll_back(self, text: str, comment: str) -> int:
        """Take the alias back to a version that it has pointed to, and return the exit code. Raises CliError."""
        case, session = self.case, self.session
        if case.body is None:
            references.alias(session, case.name)  # says what there is
        version = _number(case.view.model, text) if text else self._previous()
        candidate = references.version(session, f"{case.view.model}/{version}")
        rights.require(session, "rollback", case.view.model, case.view.alias)
        judged = case.judge_rollback(candidate)
        if not judged.allowed:
            raise CliError(f"{case.name} cannot go back: {cases.unmet(judged)}", hint=self._held_before(), code=NO)
        if self.output is Document.TEXT:
            live = case.status.bound_version
            printing.write(f"{case.name}: v{version} takes the place of v{live}; no approval is needed")
        lines = [f"{version} {session.kube.whoami()}", comment]
        patch = {"metadata": {"annotations": {names.ANNOTATION_ROLLBACK: "\n".join(filter(None, lines))}}}
        before = following.refusals(session, case.name)
        session.kube.patch(MODEL_ALIASES, session.namespace, case.name, patch, dry_run=self.dry_run)
        return self._end(version, judged, self._on_the_way_back(version, before))

    def _point(self, version: int, comment: str) -> None:
        """Write the spec, so that it is another one where that is what makes the operator look again."""
        case, kube, namespace = self.case, self.session.kube, self.session.namespace
        mover = {names.ANNOTATION_MOVED_BY: kube.whoami()}
        if case.body is None:
            kube.create(MODEL_ALIASES, namespace, self._manifest(version, comment, mover), dry_run=self.dry_run)
            return
        wish = {"version": version, "reason": self._reason(case.body, version, comment)}
        if wish == {key: case.body["spec"].get(key) for key in wish}:
            printing.note(f"{case.name} wants v{version} already")
            return
        patch = {"metadata": {"annotations": mover}, "spec": wish}
        kube.patch(MODEL_ALIASES, namespace, case.name, patch, dry_run=self.dry_run)

    def _reason(self, body: Raw, version: int, comment: str) -> str | None:
        """Return what the spec is to say; other words than before where the same version is to be tried again."""
        before = body["spec"].get("reason")
        if binding.is_set_aside(self.case.status, version, body["metadata"]["generation"]):
            again = f"tried again at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            return again if comment in ("", before) else comment
        return comment or (before if body["spec"]["version"] == version else None)

    def _manifest(self, version: int, comment: str, annotations: dict[str, str]) -> Raw:
        view = self.case.view
        spec = {"model": view.model, "alias": view.alias, "version": version}
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.MODEL_ALIAS,
            "metadata": {"name": self.case.name, "annotations": annotations},
            "spec": spec | ({"reason": comment} if comment else {}),
        }

    def _foretell(self, version: int, judged: Verdict, values: Any) -> None:
        if self.output is Document.TEXT:
            live = self.case.status.bound_version
            printing.write(
                f"{self.case.name}: {f'v{live} is live' if live else 'nothing is bound'}, v{version} "
                f"{'has all that it needs' if judged.allowed else 'will be held until nothing is missing'}"
            )
            requirements.show(cases.requirements(judged, values, self.case.policies), judged.warnings)
        for text in self.case.notes:
            printing.note(text)

    def _previous(self) -> int:
        status = self.case.status
        if status.previous_version is None:
            raise CliError(f"{self.case.name} has pointed to nothing else before", code=NOT_FOUND)
        return status.previous_version

    def _held_before(self) -> str:
        held = sorted({each.version for each in self.case.status.history})
        return f"it has pointed to {', '.join(f'v{each}' for each in held)}" if held else ""

    def _on_the_way_back(self, version: int, before: Collection[str]) -> Callable[[Raw], Progress]:
        def look(body: Raw) -> Progress:
            found = following.rollback(body, version)
            if found.state != "failed" or not found.unsure:
                return found
            said = following.refusals(self.session, self.case.name).items()
            return next((Progress("failed", text) for key, text in said if key not in before), found)

        return look

    def _end(self, version: int, judged: Verdict, look: Callable[[Raw], Progress]) -> int:
        """Wait if that is wanted, say what has become of it, and return the exit code."""
        if self.dry_run:
            self._tell(version, judged, "dryRun", "nothing was written: --dry-run", [])
            return OK if judged.allowed else NO
        if not self.wait:
            self._tell(version, judged, "requested", f"v{version} was asked for", [])
            return OK
        found = following.follow(self.session, self.case.name, look, self.timeout)
        status = (self.session.kube.get(MODEL_ALIASES, self.session.namespace, self.case.name)).get("status") or {}
        outcome: Outcome = "bound" if found.state == "done" else found.state
        self._tell(version, judged, outcome, found.message, why.serving(ModelAliasStatus.model_validate(status)))
        return found.code

    def _tell(self, version: int, judged: Verdict, outcome: Outcome, message: str, serving: list[Workload]) -> None:
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
        over = " (no longer waited for)" if outcome in ("held", "rolling", "unseen") else ""
        printing.write(f"{self.case.name}: {sheets.line(message)}{over}")
        print_serving(serving)


def _number(model: str, text: str) -> int:
    """Return the number that was meant: 24, v24, digits.v24."""
    plain = text if "." in text or "/" in text else f"{model}/{text.removeprefix('v')}"
    name = references.version_name(plain)
    found = re.fullmatch(rf"{re.escape(model)}\.v(\d+)", name or "")
    if found is None:
        hint = "a version is a number, for example 24"
        raise CliError(f"{text!r} is no version of {model}", hint=hint, code=USAGE)
    return int(found[1])


def _timeout(text: str) -> timedelta | None:
    """Return how long to wait; None for as long as it takes."""
    if text == "0":
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CliError(f"--timeout: {error}", hint="0 waits as long as it takes", code=USAGE) from None
