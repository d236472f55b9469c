"""Build the in-toto statement about a run's model: SLSA provenance, version 1. This module does not sign it.

https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/tree/main/spec/v1
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from assay.api import names
from assay.api.objects import Raw

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: The build type, described in docs/provenance.md. Its external parameters are a Run's spec.
BUILD_TYPE = f"https://{names.GROUP}/run/{names.VERSION}"

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})$")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Builder(NamedTuple):
    """The builder of the statement: a URI that identifies the operator, and its version."""

    id: str
    version: str


def statement(run: Raw, builder: Builder) -> Raw:
    """Return the statement about the model of a succeeded Run. Raises ValueError for a run without a model.

    The subject's digest is that of ``status.model``: for a file its sha256, for a folder the sha256 of the sorted lines
    that ``sha256sum`` prints for its files.
    """
    status = run.get("status") or {}
    model = status.get("model") or {}
    if not model.get("digest"):
        raise ValueError(f"run {run['metadata']['name']} has produced no model")
    uri = f"{(status.get('record') or {}).get('artifacts') or ''}{model['path']}"
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": model["path"], "uri": uri, "digest": _digest(model["digest"])}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": _definition(run, status), "runDetails": _details(run, status, builder)},
    }


def _definition(run: Raw, status: Raw) -> Raw:
    metadata = run["metadata"]
    experiment = (metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT)
    pods = [each["pod"] for each in status.get("attempts") or []]
    return {
        "buildType": BUILD_TYPE,
        # The complete recipe, as a manifest that can be applied again.
        "externalParameters": {
            "apiVersion": names.API_VERSION,
            "kind": names.RUN,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "spec": run["spec"],
        },
        "internalParameters": {**({"experiment": experiment} if experiment else {}), "pods": pods},
        "resolvedDependencies": [*_images(status), *_source(run["spec"]), *_datasets(run["spec"], status)],
    }


def _details(run: Raw, status: Raw, builder: Builder) -> Raw:
    times = {"startedOn": status.get("startTime"), "finishedOn": status.get("completionTime")}
    record = status.get("record") or {}
    manifest = {"name": "manifest.json", "uri": f"{record.get('uri') or ''}manifest.json"}
    return {
        "builder": {"id": builder.id, "version": {"assay": builder.version}},
        "metadata": {"invocationId": run["metadata"]["uid"], **{key: at for key, at in times.items() if at}},
        # This digest covers all files in the manifest, including the model's.
        "byproducts": [{**manifest, **_with_digest(record.get("manifestDigest"))}],
    }


# What it was made from


def _images(status: Raw) -> Iterator[Raw]:
    for each in status.get("images") or []:
        yield {"name": f"image/{each['container']}", "uri": each["image"], **_with_digest(each.get("digest"))}


def _source(spec: Raw) -> Iterator[Raw]:
    """Yield the repository. Only a full commit hash counts as a digest; other revisions can move."""
    source = spec.get("source") or {}
    if not source.get("repository"):
        return
    repository, revision = source["repository"], source.get("revision") or ""
    uri = repository if repository.startswith("git+") else f"git+{repository}"
    notes = {key: source[key] for key in ("path", "dirty") if source.get(key) is not None}
    yield {
        "name": "source",
        "uri": f"{uri}@{revision}" if revision else uri,
        **({"digest": {"gitCommit": revision}} if _COMMIT.fullmatch(revision) else {}),
        **({"annotations": notes} if notes else {}),
    }


def _datasets(spec: Raw, status: Raw) -> Iterator[Raw]:
    """Yield the data sets, each with its declared digest or else the recorded one."""
    found = {each.get("name"): each.get("digest") for each in status.get("datasets") or []}
    for each in spec.get("datasets") or []:
        yield {
            "name": f"dataset/{each['name']}",
            "uri": each["uri"],
            **_with_digest(each.get("digest") or found.get(each["name"])),
            **({"annotations": {"version": each["version"]}} if each.get("version") else {}),
        }


def _with_digest(text: str | None) -> Mapping[str, Any]:
    found = _digest(text or "")
    return {"digest": found} if found else {}


def _digest(text: str) -> dict[str, str]:
    """Return a text that ends in ``sha256:<hex>`` as a digest set; an empty set for anything else."""
    found = _SHA256.search(text)
    return {"sha256": found[1]} if found else {}
