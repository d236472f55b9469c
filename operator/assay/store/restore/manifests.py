"""Builds manifests from the trail and the store, and lists what cannot be rebuilt. Pure.

A version is rebuilt only if both agree: the trail must have the digest of the manifest in the store. The rebuilt
version refers to its registered bytes, so nothing is copied when it is applied, and to the run that holds its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pydantic

from assay.api import names
from assay.api.modelversion import ModelVersionSpec
from assay.api.objects import Raw
from assay.store.audit.records import AuditRecord
from assay.store.models import RegisteredModel
from assay.store.restore.history import History

_PROVENANCE = ("parameters", "metrics", "source", "datasets", "images")
_LEFT_OUT = {"leftOut", "sha256"}  # replaces a field that was too large for a record
_MAX_REASON = 500  # of an alias's spec


@dataclass(frozen=True)
class Stored:
    """A version in the store: its registered model, and the holder of its number, "" if there is none."""

    model: RegisteredModel
    holder: str


@dataclass
class Restored:
    """Manifests with remarks, in the order in which to apply them, and the reasons why others are left out."""

    manifests: list[tuple[Raw, list[str]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """The number of manifests of a kind."""
        return sum(manifest["kind"] == kind for manifest, _ in self.manifests)


class _Cannot(Exception):
    """An object cannot be rebuilt. The message is the reason."""


def rebuild(
    namespace: str, history: History, stored: Mapping[str, Stored], broken: Mapping[str, str] | None = None
) -> Restored:
    """Rebuild policies, then versions, then aliases, so that each manifest follows the ones it depends on.

    `stored` has the intact versions by name; `broken` has the problems of the others.
    """
    found = Restored()
    _policies(found, namespace, history)
    _versions(found, namespace, history, stored, broken or {})
    _aliases(found, namespace, history, stored)
    return found


def _policies(found: Restored, namespace: str, history: History) -> None:
    for name, record in sorted(history.policies.items()):
        spec = (record.after or {}).get("spec")
        if not isinstance(spec, dict) or spec.keys() == _LEFT_OUT:
            found.left_out.append(f"PromotionPolicy {name}: its spec was too large for a record")
            continue
        found.manifests.append((_manifest(names.PROMOTION_POLICY, namespace, name, spec), [f"as of {record.time}"]))


def _versions(
    found: Restored, namespace: str, history: History, stored: Mapping[str, Stored], broken: Mapping[str, str]
) -> None:
    for name in sorted({*stored, *broken, *history.registered}, key=_by_number):
        if name in history.deleted:
            found.left_out.append(f"ModelVersion {name}: it was deleted at {history.deleted[name].time}")
        elif name not in stored:
            found.left_out.append(f"ModelVersion {name}: {broken.get(name) or 'its bytes are not in the store'}")
        else:
            _add_version(found, namespace, name, stored[name], history)


def _add_version(found: Restored, namespace: str, name: str, stored: Stored, history: History) -> None:
    try:
        found.manifests.append(_version(namespace, name, stored, history))
    except _Cannot as why:
        found.left_out.append(f"ModelVersion {name}: {why}")


def _by_number(name: str) -> tuple[str, int]:
    model, _, number = name.rpartition(".v")
    return model, int(number) if number.isdecimal() else 0


def _version(namespace: str, name: str, stored: Stored, history: History) -> tuple[Raw, list[str]]:
    model, record = stored.model, history.registered.get(name)
    _check(stored, record)
    recorded = (record.after if record else None) or {}
    remarks = [f"registered at {record.time}" if record else "no record of its registration: the owner is unknown"]
    provenance, lost = _provenance(recorded)
    remarks += [f"provenance.{part} was too large for a record" for part in lost]
    run = model.manifest.run
    spec: Raw = {
        "model": model.manifest.model,
        "version": model.manifest.number,
        "owner": recorded.get("owner"),
        "run": run and _without_empty({"name": run.name, "uid": run.uid, "experiment": run.experiment}),
        "artifact": {"uri": model.uri, "digest": model.manifest.digest, "size": model.bytes},
        "provenance": provenance,
    }
    manifest = _manifest(names.MODEL_VERSION, namespace, name, _without_empty(spec))
    manifest["metadata"] |= _without_empty({"labels": _labels(model, archived=name in history.archived)})
    _check_schema(manifest)
    return manifest, remarks


def _check(stored: Stored, record: AuditRecord | None) -> None:
    """Raise _Cannot if the trail has other digests than the store, or if the number belongs to another claimant."""
    manifest = stored.model.manifest
    if record is not None:
        digests = {"artifact": manifest.digest, "manifest": stored.model.manifest_digest}
        for what, found in digests.items():
            if record.digests.get(what, found) != found:
                raise _Cannot(f"the {what} was registered as {record.digests[what]}, but the store has {found}")
    claimant = f"run/{manifest.run.uid}" if manifest.run else f"manifest/{manifest.digest}"
    if stored.holder not in ("", claimant):
        raise _Cannot(f"its number was given to {stored.holder}, not to {claimant}")


def _check_schema(manifest: Raw) -> None:
    try:
        ModelVersionSpec.model_validate(manifest["spec"])
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise _Cannot(f"the rebuilt spec is invalid: {where}: {first['msg'][:200]}") from None


def _provenance(recorded: Raw) -> tuple[Raw, list[str]]:
    """The recorded provenance, and the names of its parts that were too large for a record."""
    parts = {part: recorded[part] for part in _PROVENANCE if recorded.get(part)}
    lost = [part for part, value in parts.items() if isinstance(value, dict) and value.keys() == _LEFT_OUT]
    return {part: value for part, value in parts.items() if part not in lost}, lost


def _labels(model: RegisteredModel, *, archived: bool) -> Raw:
    run = model.manifest.run
    found = {names.LABEL_MODEL: model.manifest.model} if run else {}
    if run:
        found |= {names.LABEL_RUN: run.name, names.LABEL_RUN_UID: run.uid, names.LABEL_EXPERIMENT: run.experiment}
    labels = {key: value for key, value in found.items() if 0 < len(value) <= 63}
    return labels | ({names.LABEL_ARCHIVED: "true"} if archived else {})


def _aliases(found: Restored, namespace: str, history: History, stored: Mapping[str, Stored]) -> None:
    there = {manifest["metadata"]["name"] for manifest, _ in found.manifests if manifest["kind"] == names.MODEL_VERSION}
    for name, record in sorted(history.bound.items()):
        model, _, alias = name.rpartition(".")
        state = record.after or {}
        version = f"{model}.v{state.get('version')}"
        if version not in there or stored[version].model.manifest.digest != state.get("digest"):
            found.left_out.append(f"ModelAlias {name}: it pointed to {version}, which is left out or has other bytes")
            continue
        reason = f"restored; bound at {record.time} by {record.actor}" + (f": {record.reason}" if record.reason else "")
        spec = {"model": model, "alias": alias, "version": state["version"], "reason": reason[:_MAX_REASON]}
        found.manifests.append((_manifest(names.MODEL_ALIAS, namespace, name, spec), [_pointed(record)]))


def _pointed(record: AuditRecord) -> str:
    return f"it pointed there from {record.time}, {record.action} by {record.actor}"


def _manifest(kind: str, namespace: str, name: str, spec: Raw) -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _without_empty(found: Raw) -> Raw:
    return {key: value for key, value in found.items() if value not in (None, "", {}, [])}
