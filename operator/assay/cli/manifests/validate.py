"""`assay validate`: checks offline whether the API server and the operator accept manifests.

Schema, CEL rules and further checks are the same as in a cluster. What only a cluster knows, such as the user and
existing versions, is not checked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path as File
from typing import Annotated, Any

import typer

from assay.api import names
from assay.api.crd import KINDS, Kind
from assay.api.experiment import ExperimentSpec
from assay.api.objects import Raw
from assay.cli.errors import NO, USAGE, CliError
from assay.cli.manifests import jobs, reading, structure
from assay.cli.manifests.reading import Manifest, Path, Unreadable
from assay.cli.manifests.structure import Problem
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.planning.models import registration
from assay.planning.promotion import verdict, views
from assay.planning.runs import checks, job
from assay.planning.search import space
from assay.queries import references

_METADATA = {
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
}
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True)
class Complaint:
    """One error. `path` is the field, such as spec.parameters[0].name; line and column start at 1."""

    file: str
    line: int
    column: int
    kind: str
    name: str
    path: str
    message: str

    def __str__(self) -> str:
        whose = f"{self.kind}/{self.name}: " if self.kind else ""
        return f"{self.file}:{self.line}:{self.column}: {whose}{self.path + ': ' if self.path else ''}{self.message}"


@dataclass
class Findings:
    """The number of objects of Assay, the kinds of other objects, and all complaints."""

    objects: int
    skipped: list[str]
    complaints: list[Complaint]

    def document(self) -> Raw:
        """Return the answer as JSON: ``{"valid", "objects", "skipped": [kind], "items": [complaint]}``."""
        items = [asdict(each) for each in self.complaints]
        return {"valid": not items, "objects": self.objects, "skipped": self.skipped, "items": items}


def validate(files: list[str], output: Document) -> None:
    """Check files ("-": the standard input) and print the errors. Raises CliError."""
    found = Findings(0, [], [])
    for file in files:
        each = check(file, _text(file))
        found.objects += each.objects
        found.skipped += each.skipped
        found.complaints += each.complaints
    if output is not Document.TEXT:
        printing.document(found.document(), output.value)
    else:
        _print_findings(found)
    if found.complaints:
        count = len(found.complaints)
        raise CliError(f"{count} error{'s' if count > 1 else ''} in the manifests", code=NO)


def _print_findings(found: Findings) -> None:
    for complaint in found.complaints:
        printing.write(printing.clean(complaint))
    for kind in found.skipped:
        printing.note(f"not checked: {kind}")
    if not found.complaints:
        printing.write(f"{found.objects} object{'' if found.objects == 1 else 's'} valid")


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else File(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CliError(f"cannot read {file}: {reason}", hint="use - for the standard input", code=USAGE) from None


def check(file: str, text: str) -> Findings:
    """Return the findings for the objects of a text."""
    found = Findings(0, [], [])
    try:
        read = reading.read(text)
    except Unreadable as error:
        found.complaints.append(Complaint(file, *error.position, "", "", "", str(error)))
        return found
    for manifest in read:
        body = manifest.body
        if isinstance(body, dict) and not _ours(body):
            found.skipped.append(f"{file}: {body.get('kind')} of {body.get('apiVersion')}")
            continue
        found.objects += 1
        found.complaints += sorted(_complaints(file, manifest), key=lambda each: (each.line, each.column))
    return found


def _ours(body: Raw) -> bool:
    group = str(body.get("apiVersion") or names.GROUP).partition("/")[0]
    return group == names.GROUP


def _complaints(file: str, manifest: Manifest) -> Iterator[Complaint]:
    body = manifest.body if isinstance(manifest.body, dict) else {}
    metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
    whose = (
        str(body.get("kind") or "?"),
        str((metadata or {}).get("name") or (metadata or {}).get("generateName") or "?"),
    )
    for duplicate in manifest.duplicates:
        yield Complaint(file, *duplicate.position, *whose, duplicate.key, "duplicate key")
    for problem in _problems(manifest.body):
        where = manifest.position(problem.path, key=problem.key)
        yield Complaint(file, *where, *whose, shown(problem.path), problem.message)


def shown(path: Path) -> str:
    """Return a path in the usual notation."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _problems(body: Any) -> list[Problem]:
    if not isinstance(body, dict):
        return [Problem((), "not an object: a manifest is a map with apiVersion, kind, metadata and spec")]
    kind, wrong = _kind(body)
    if kind is None:
        return [wrong]
    schema = _schema(kind.kind)
    body = structure.without_nulls(schema, body)
    # A schema may not describe metadata: the API server validates it itself.
    found = [*structure.check(_without_metadata(kind.kind), body), *_metadata(body)]
    if not found:
        found = list(_rules(schema, body))
    if not found and kind.kind in _MEANING:
        named = body | {"metadata": {"name": "generated", **body["metadata"]}}
        found = list(_MEANING[kind.kind](named))
    return found


def _kind(body: Raw) -> tuple[Kind | None, Problem]:
    name, version = body.get("kind"), body.get("apiVersion")
    if version != names.API_VERSION:
        return None, Problem(("apiVersion",), f"must be {names.API_VERSION}, not {version}")
    known = {kind.kind: kind for kind in KINDS}
    near = references.near(str(name), known)
    return known.get(str(name)), Problem(("kind",), f"unknown kind {name} in {version}{': ' if near else ''}{near}")


@cache
def _schema(kind: str) -> structure.Schema:
    crd = next(each for each in KINDS if each.kind == kind).crd()
    schema: structure.Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    # Only the operator writes the status; the API server drops that of a manifest.
    return schema | {"properties": schema["properties"] | {"status": {"x-kubernetes-preserve-unknown-fields": True}}}


@cache
def _without_metadata(kind: str) -> structure.Schema:
    schema = _schema(kind)
    return schema | {"properties": schema["properties"] | {"metadata": {"x-kubernetes-preserve-unknown-fields": True}}}


def _rules(schema: structure.Schema, body: Raw) -> Iterator[Problem]:
    named = "name" in body["metadata"]
    for problem in structure.rules(schema if named else schema | {"x-kubernetes-validations": []}, body):
        # Rules on the object as a whole concern only its name.
        yield problem if problem.path else Problem(("metadata", "name"), problem.message)


def _metadata(body: Raw) -> Iterator[Problem]:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        yield Problem(("metadata",), "metadata.name is missing")
        return
    if not metadata.get("name") and not metadata.get("generateName"):
        yield Problem(("metadata",), "name is missing")
    for field in ("name", "generateName", "namespace"):
        if field in metadata and not isinstance(metadata[field], str):
            yield Problem(("metadata", field), "must be a string: put it in quotes")
    for field in metadata.keys() - _METADATA:
        near = references.near(field, _METADATA)
        yield Problem(("metadata", field), f"unknown field{': ' if near else ''}{near}", key=True)
    for field in ("labels", "annotations"):
        yield from _texts(metadata.get(field), field)


def _texts(found: Any, field: str) -> Iterator[Problem]:
    if found is not None and not isinstance(found, dict):
        yield Problem(("metadata", field), "must be a map")
        return
    for key, value in (found or {}).items():
        if not isinstance(value, str):
            yield Problem(("metadata", field, key), "must be a string: put it in quotes")
        elif field == "labels" and not _LABEL_VALUE.fullmatch(value):
            yield Problem(("metadata", field, key), "a label value has at most 63 letters, digits, '-', '_' and '.'")


# What the API server accepts, but the operator rejects


def _experiment(body: Raw) -> Iterator[Problem]:
    spec = ExperimentSpec.model_validate(body["spec"])
    first: Raw = {}
    try:
        first = space.parameters_of(spec, 0) if space.size(spec) else {}
    except space.InvalidSearch as error:
        part = "search" if "spec.search" in str(error) else "parameters"
        yield Problem(("spec", part), str(error))
    if spec.register_ and (wrong := registration.problem(spec.register_)):
        yield Problem(("spec", "register", "when"), wrong.partition(": ")[2])
    template = {key: value for key, value in body["spec"]["template"].items() if key != "metadata"}
    yield from _job({**template, "parameters": first}, ("spec", "template", "job"))


def _run(body: Raw) -> Iterator[Problem]:
    yield from _job(body["spec"], ("spec", "job"))


def _job(spec: Raw, path: Path) -> Iterator[Problem]:
    metadata = {"name": "run", "namespace": "default", "uid": "0"}
    run = {"apiVersion": names.API_VERSION, "kind": names.RUN, "metadata": metadata, "spec": spec}
    yield from _pattern(spec, (*path[:-1], "collect", "stdout", "pattern"))
    found = list(jobs.problems(spec["job"], path, with_data=bool(spec.get("datasets"))))
    yield from found
    if found:
        return
    try:
        job.build_job(run, "runs/default/_/run/0", job.JobSettings(image="recorder"))
    except checks.InvalidTemplate as error:
        yield Problem(path, str(error))


def _pattern(spec: Raw, path: Path) -> Iterator[Problem]:
    """Check the pattern for printed metrics, which the API server cannot compile."""
    stdout = (spec.get("collect") or {}).get("stdout")
    if not stdout:
        return
    from assay.store.points import printed

    try:
        printed.format_of(stdout)
    except printed.InvalidPattern as error:
        yield Problem(path, str(error))


def _policy(body: Raw) -> Iterator[Problem]:
    for wrong in verdict.problems(views.policy_of(body)):
        yield Problem(_of_gate(body, wrong), wrong)


def _of_gate(body: Raw, wrong: str) -> Path:
    """Return the path of the gate or window that a message names."""
    for part, word in (("gates", "gate"), ("freeze", "freeze")):
        for index, each in enumerate(body["spec"].get(part) or []):
            if wrong.startswith(f"{word} {each['name']}: "):
                return ("spec", part, index, *(("expression",) if part == "gates" else ()))
    return ("spec",)


_MEANING: dict[str, Callable[[Raw], Iterator[Problem]]] = {
    names.EXPERIMENT: _experiment,
    names.RUN: _run,
    names.PROMOTION_POLICY: _policy,
}


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Manifests; - is the standard input.")],
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Check manifests offline, as the API server and the operator would. Exit code 6 if any is invalid."""
    validate(files, output)
