"""A version as a manifest for another cluster's Git repository: it carries all that is known, and needs no run."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api import names
from assay.api.objects import Raw
from assay.cli.errors import CliError
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries import references
from assay.store.restore.manifests import Restored
from assay.store.restore.text import write


def show(session: Session, text: str, number: int, output: Document) -> None:
    """Print the manifest of a version, with what the other cluster needs for it as comments. Raises CliError."""
    body = references.version(session, text)
    manifest = manifest_of(body, number)
    if output is Document.JSON:
        printing.document(manifest, output.value)
    else:
        printing.write(write(Restored([(manifest, [])]), _remarks(session, body, manifest)).rstrip("\n"))


def manifest_of(body: Raw, number: int = 0) -> Raw:
    """Return a self-contained ModelVersion; ``number`` is its own there, 0 for the same. Raises CliError.

    The owner is left out, being whoever applies it; so are approvals, which are given by people of the other cluster.
    """
    spec, status, name = body["spec"], body.get("status") or {}, body["metadata"]["name"]
    copy = status.get("artifact") or {}
    if not copy.get("uri"):
        why = status.get("message") or "its bytes are not copied yet"
        hint = f"its phase is {status.get('phase') or 'Pending'}: {why}"
        raise CliError(f"{name} has no registered bytes to point to", hint=hint)
    version = number or spec["version"]
    artifact = {
        "uri": copy["uri"],
        "digest": copy.get("digest") or spec["artifact"]["digest"],
        "size": copy.get("bytes"),
    }
    wanted = {
        "model": spec["model"],
        "version": version,
        "run": spec.get("run"),
        "artifact": {key: value for key, value in artifact.items() if value is not None},
        "provenance": status.get("provenance") or spec.get("provenance"),
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_VERSION,
        "metadata": {"name": f"{spec['model']}.v{version}"},
        "spec": {key: value for key, value in wanted.items() if value is not None},
    }


def _remarks(session: Session, body: Raw, manifest: Raw) -> list[str]:
    uri, name = manifest["spec"]["artifact"]["uri"], body["metadata"]["name"]
    prefix = uri.rstrip("/").rpartition("/")[0] + "/" if "/" in uri.removeprefix("s3://") else uri
    return [
        f"{name} of the namespace {session.namespace}. Its bytes are copied and verified when this is applied.",
        f"The other cluster's operator must be able to read {uri},",
        f"and its namespace must be allowed to name it: annotation {names.ANNOTATION_ALLOWED_PREFIXES}: {prefix}",
        "What it says of its run is a claim there: a policy with provenanceVerified does not count it.",
    ]


def command(
    session: Session,
    version: Annotated[str, typer.Argument(help="The version, or an alias for the one that is live.")],
    number: Annotated[int, typer.Option("--number", min=0, help="Its number there; 0 for the same.")] = 0,
    output: Annotated[Document, typer.Option("--output", "-o", help="yaml or json.")] = Document.YAML,
) -> None:
    """Print a self-contained manifest of a version for another cluster's Git repository."""
    show(session, version, number, output)
