"""The versions of a model as a table."""

from __future__ import annotations

from assay.api.resources import MODEL_VERSIONS
from assay.cli import printing
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.printing import Column, Format
from assay.cli.session import Session

_COLUMNS = (
    Column("VERSION"),
    Column("PHASE", styles=printing.PHASE),
    Column("RUN"),
    Column("OWNER"),
    Column("DIGEST", wide=True),
)


def show(session: Session, model: str, output: Format) -> None:
    """Print the versions of a model, the newest first. Raises CliError when there are none."""
    found = [each for each in session.kube.list(MODEL_VERSIONS, session.namespace) if each["spec"]["model"] == model]
    if not found:
        raise CliError(f"the namespace {session.namespace} has no version of {model}", code=NOT_FOUND)
    found.sort(key=lambda each: -each["spec"]["version"])
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": found}, output.value)
        return
    rows = [
        (
            each["metadata"]["name"],
            (each.get("status") or {}).get("phase"),
            (each["spec"].get("run") or {}).get("name"),
            each["spec"].get("owner"),
            each["spec"]["artifact"]["digest"],
        )
        for each in found
    ]
    printing.table(_COLUMNS, rows, output)
