"""Models and their versions as tables."""

from __future__ import annotations

from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.kube.sync import ApiError
from assay.queries import models, references
from assay.queries.models import AliasState, Model, Version

_VERSIONS = (
    Column("VERSION"),
    Column("PHASE", styles=printing.PHASE),
    Column("ALIASES"),
    Column("METRICS"),
    Column("RUN"),
    Column("OWNER"),
    Column("APPROVALS"),
    Column("AGE"),
    Column("DIGEST", wide=True),
    Column("SIZE", wide=True),
    Column("SIGNED", wide=True),
    Column("REPRODUCIBLE", wide=True),
)
_MODELS = (Column("MODEL"), Column("VERSIONS", number=True), Column("LATEST"), Column("ALIASES"), Column("AGE"))
#: Of a version whose objective is not known.
_SHOWN_METRICS = 3


def show(session: Session, model: str, output: Format, *, everything: bool) -> None:
    """Print the versions of a model, the newest first; archived ones if asked for. Raises CliError without any.

    As JSON: ``{"items": [Version, …]}``, the shape of ``model_rows.Version``.
    """
    found = list(session.kube.list(MODEL_VERSIONS, session.namespace, fields=f"spec.model={model}"))
    if not found:
        known = {each["spec"]["model"] for each in session.kube.list(MODEL_VERSIONS, session.namespace)}
        hint = references.near(model, known) or "`assay models` lists the models that there are"
        raise CliError(f"the namespace {session.namespace} has no version of {model}", hint=hint, code=NOT_FOUND)
    shown = [body for body in found if everything or not models.is_archived(body)]
    if len(shown) < len(found):
        printing.note(f"{len(found) - len(shown)} archived, not shown: --all shows them")
    states = _states(session, model)
    items = [models.version(body, states) for body in sorted(shown, key=lambda body: -body["spec"]["version"])]
    sheets.listing(items, _VERSIONS, [_version_row(each) for each in items], output)


def show_models(session: Session, output: Format) -> None:
    """Print the models of a namespace. As JSON: ``{"items": [Model, …]}``, the shape of ``model_rows.Model``."""
    kube, namespace = session.kube, session.namespace
    items = models.models(kube.list(MODEL_VERSIONS, namespace), kube.list(MODEL_ALIASES, namespace))
    if not items:
        printing.note(f"the namespace {namespace} has no models")
    sheets.listing(items, _MODELS, [_model_row(each) for each in items], output)


def _states(session: Session, model: str) -> list[AliasState] | None:
    """Return the aliases of a model, None when the user may not read them."""
    try:
        found = session.kube.list(MODEL_ALIASES, session.namespace, fields=f"spec.model={model}")
        return [models.alias_state(body) for body in found]
    except ApiError as error:
        if error.status != 403:
            raise
        printing.note("you may not read ModelAliases here: which versions are wanted is not known")
        return None


def _version_row(each: Version) -> tuple[object, ...]:
    if each["objective"] and each["result"] is not None:
        metrics = f"{each['objective']}={printing.number(each['result'])}"
    else:
        first = sorted(each["metrics"].items())[:_SHOWN_METRICS]
        metrics = ", ".join(f"{name}={printing.number(value)}" for name, value in first)
    return (
        each["name"],
        each["phase"],
        ", ".join([*each["aliases"], *(f"{alias} wanted" for alias in each["wantedBy"])]),
        metrics,
        each["run"],
        each["owner"],
        approvals_text(each),
        sheets.age(each["created"]),
        each["digest"],
        sheets.size(each["bytes"]),
        "yes" if each["signed"] else "no",
        "yes" if each["reproducible"] else "no",
    )


def approvals_text(each: Version) -> str:
    """Return who has approved for which alias; an approval for other bytes is none."""
    people: dict[str, list[str]] = {}
    for approval in each["approvals"]:
        if approval["valid"] and approval["approver"] not in people.setdefault(approval["alias"], []):
            people[approval["alias"]].append(approval["approver"])
    return "; ".join(f"{alias} by {', '.join(who)}" for alias, who in sorted(people.items()) if who)


def _model_row(each: Model) -> tuple[object, ...]:
    latest = f"v{each['latest']}" if each["latest"] else None
    aliases = ", ".join(alias_text(state) for state in each["aliases"])
    return each["model"], each["versions"], latest, aliases, sheets.age(each["created"])


def alias_text(state: AliasState) -> str:
    """Return what an alias points to, and what is wanted where that is another version: staging=v25 wanted v26."""
    live = f"v{state['live']}" if state["live"] else "none"
    wanted = "" if state["live"] == state["wanted"] else f" wanted v{state['wanted']}"
    return f"{state['alias']}={live}{wanted}"
