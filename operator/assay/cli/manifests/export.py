"""`assay export`: a version as a self-contained manifest for another cluster's Git repository; it needs no run."""

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
    """Print the manifest of a version, with the requirements for the other cluster as comments. Raises AssayError."""
    body = references.version(session, text)
    manifest = manifest_of(body, number)
    if output is Document.JSON:
        printing.document(manifest, output.value)
    else:
        printing.write(write(Restored([(manifest, [])]), _remarks(session, body, manifest)).rstrip("\n"))


def manifest_of(body: Raw, number: int = 0) -> Raw:
    """Return a self-contained ModelVersion; ``number`` is its number there, 0 for the same. Raises CliError.

    The owner is omitted: whoever applies the manifest owns it. Approvals are omitted: users of the other cluster
    approve there.
    """
    spec, status, name = body["spec"], body.get("status") or {}, body["metadata"]["name"]
    copy = status.get("artifact") or {}
    if not copy.get("uri"):
        why = status.get("message") or "its bytes have not been copied yet"
        hint = f"its phase is {status.get('phase') or 'Pending'}: {why}"
        raise CliError(f"{name} has no registered copy to export", hint=hint)
    version = number or spec["version"]
    artifact = {
        "uri": copy["uri"],
        "digest": copy.get("digest") or spec["artifact"]["digest"],
        "size": copy.get("bytes"),
    }
    fields = {
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
        "spec": {key: value for key, value in fields.items() if value is not None},
    }


def _remarks(session: Session, body: Raw, manifest: Raw) -> list[str]:
    uri, name = manifest["spec"]["artifact"]["uri"], body["metadata"]["name"]
    prefix = uri.rstrip("/").rpartition("/")[0] + "/" if "/" in uri.removeprefix("s3://") else uri
    return [
        f"{name} from namespace {session.namespace}. Applying this copies and verifies its bytes.",
        f"The operator of the other cluster must be able to read {uri}.",
        f"The namespace needs the annotation {names.ANNOTATION_ALLOWED_PREFIXES}: {prefix}",
        "The other cluster cannot verify its provenance: a policy with provenanceVerified will not accept it.",
    ]


def command(
    session: Session,
    version: Annotated[str, typer.Argument(help="Version, or alias for its live version.")],
    number: Annotated[int, typer.Option("--number", min=0, help="Number of the version there; 0 for the same.")] = 0,
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.YAML,
) -> None:
    """Print a self-contained manifest of a version, for another cluster's Git repository."""
    show(session, version, number, output)
