"""The manifests of what was there, out of what the trail and the store say, and what cannot be rebuilt. Pure.

A version is rebuilt only where both agree: the trail vouches for the manifest that lies beside the bytes. It names its
own registered bytes, so nothing is copied when it is applied, and the run that its number was given to.
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
_LEFT_OUT = {"leftOut", "sha256"}  # what a record has in the place of a field that was too large for it
_MAX_REASON = 500  # of an alias's spec


@dataclass(frozen=True)
class Stored:
    """A version as it lies in the store: its bytes, and who holds its number; `holder` is "" when nobody does."""

    model: RegisteredModel
    holder: str


@dataclass
class Restored:
    """Manifests, each with remarks on it, in the order in which they are to be applied; and why others are missing."""

    manifests: list[tuple[Raw, list[str]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return sum(manifest["kind"] == kind for manifest, _ in self.manifests)


class _Cannot(Exception):
    """Why something cannot be rebuilt."""


def rebuild(
    namespace: str, history: History, stored: Mapping[str, Stored], broken: Mapping[str, str] | None = None
) -> Restored:
    """Policies, then versions, then aliases: each finds there what it rests on.

    `stored` are the versions whose bytes are whole, by name; `broken` says of others what is wrong with them.
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
    said = (record.after if record else None) or {}
    remarks = [f"registered at {record.time}" if record else "no record of its registration: the owner is not known"]
    provenance, lost = _provenance(said)
    remarks += [f"provenance.{part} was too large for a record" for part in lost]
    run = model.manifest.run
    spec: Raw = {
        "model": model.manifest.model,
        "version": model.manifest.number,
        "owner": said.get("owner"),
        "run": run and _without_nothing({"name": run.name, "uid": run.uid, "experiment": run.experiment}),
        "artifact": {"uri": model.uri, "digest": model.manifest.digest, "size": model.bytes},
        "provenance": provenance,
    }
    manifest = _manifest(names.MODEL_VERSION, namespace, name, _without_nothing(spec))
    manifest["metadata"] |= _without_nothing({"labels": _labels(model, archived=name in history.archived)})
    _check_schema(manifest)
    return manifest, remarks


def _check(stored: Stored, record: AuditRecord | None) -> None:
    """Raise _Cannot where the trail does not vouch for what lies in the store, or the number is another one's."""
    manifest = stored.model.manifest
    if record is not None:
        wanted = {"artifact": manifest.digest, "manifest": stored.model.manifest_digest}
        for what, found in wanted.items():
            if record.digests.get(what, found) != found:
                raise _Cannot(f"the {what} was registered as {record.digests[what]}, and the store has {found}")
    claimant = f"run/{manifest.run.uid}" if manifest.run else f"manifest/{manifest.digest}"
    if stored.holder not in ("", claimant):
        raise _Cannot(f"its number was given to {stored.holder}, and not to {claimant}")


def _check_schema(manifest: Raw) -> None:
    try:
        ModelVersionSpec.model_validate(manifest["spec"])
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise _Cannot(f"no version can be like that: {where}: {first['msg'][:200]}") from None


def _provenance(said: Raw) -> tuple[Raw, list[str]]:
    """What it was made from, and which parts of that no record had room for."""
    parts = {part: said[part] for part in _PROVENANCE if said.get(part)}
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
            found.left_out.append(f"ModelAlias {name}: {version}, to which it pointed, is left out or another one")
            continue
        reason = f"restored; bound at {record.time} by {record.actor}" + (f": {record.reason}" if record.reason else "")
        spec = {"model": model, "alias": alias, "version": state["version"], "reason": reason[:_MAX_REASON]}
        found.manifests.append((_manifest(names.MODEL_ALIAS, namespace, name, spec), [_pointed(record)]))


def _pointed(record: AuditRecord) -> str:
    return f"it pointed there from {record.time} on, {record.action} by {record.actor}"


def _manifest(kind: str, namespace: str, name: str, spec: Raw) -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _without_nothing(found: Raw) -> Raw:
    return {key: value for key, value in found.items() if value not in (None, "", {}, [])}
