"""`assay tag`: labels of a run, which `assay runs` can filter and show, such as labels.team."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api import names
from assay.api.resources import RUNS
from assay.cli import completion
from assay.cli.errors import USAGE, CliError
from assay.cli.options import DryRun
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries import references


def tag(session: Session, name: str, tags: list[str], *, dry_run: bool) -> None:
    """Set labels ("key=value") or remove them ("key-"). Raises AssayError."""
    changes = dict(_change(text) for text in tags)
    references.run(session, name)
    written = session.kube.patch(RUNS, session.namespace, name, {"metadata": {"labels": changes}}, dry_run=dry_run)
    own = written["metadata"].get("labels") or {}
    shown = [f"{key}={own[key]}" for key in sorted(own) if not key.startswith(f"{names.GROUP}/")]
    printing.write(printing.clean(f"{name}: {', '.join(shown) or 'no tags'}"))


def _change(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    if not equals and text.endswith("-"):
        return text[:-1], None
    if not key or not equals:
        raise CliError(f"invalid tag {text!r}", hint="write key=value, or key- to remove the tag", code=USAGE)
    if key.startswith(f"{names.GROUP}/"):
        raise CliError(f"invalid tag {text!r}", hint=f"{names.GROUP}/ is reserved by Assay", code=USAGE)
    return key, value


def command(
    session: Session,
    run: Annotated[str, typer.Argument(help="Run.", autocompletion=completion.runs)],
    tags: Annotated[list[str], typer.Argument(help="Tags: key=value sets one, key- removes it.")],
    dry_run: DryRun = False,
) -> None:
    """Tag a run with labels. Filter by them with --where 'labels.key == "value"'."""
    tag(session, run, tags, dry_run=dry_run)
