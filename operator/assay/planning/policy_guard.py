"""Compare a cluster's admission policies with the shipped ones. Pure.

The gate depends on its policies and their bindings: a policy without a binding is never evaluated, and a changed policy
enforces something else. The shipped manifests are compared field by field, after the API server's defaults have been
added to both sides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.api import names
from assay.api.objects import Raw

_Identity = tuple[str, str]

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
MUTATING_POLICY, MUTATING_BINDING = "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"
#: Every kind that is compared.
KINDS = (POLICY, BINDING, MUTATING_POLICY, MUTATING_BINDING)


@dataclass(frozen=True)
class Fault:
    """The fault of one object. ``what`` is "missing" or "changed"; ``fields`` are the fields that differ."""

    kind: str
    name: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the fault as one sentence."""
        if self.what == "missing":
            return f"{self.kind} {self.name} is missing"
        return f"{self.kind} {self.name} was changed ({', '.join(self.fields)})"


def least() -> list[Raw]:
    """Return the minimum if no shipped manifests are configured: each policy by name, and its binding."""
    found: list[Raw] = []
    for name in sorted(names.ADMISSION_POLICIES):
        found.append({"kind": POLICY, "metadata": {"name": name}})
        binding = {"policyName": name, "validationActions": ["Deny"]}
        found.append({"kind": BINDING, "metadata": {"name": name}, "spec": binding})
    return found


def faults(shipped: Iterable[Raw], found: Mapping[str, Iterable[Raw]]) -> list[Fault]:
    """Return what is missing or changed, in the order of ``shipped``.

    ``found`` contains the cluster's objects by kind. An object that is being deleted counts as missing. A manifest
    without a spec requires only an object of that name.
    """
    known = {(kind, each["metadata"]["name"]): each for kind, bodies in found.items() for each in bodies}
    return [fault for each in shipped if (fault := _fault(each, known))]


def _fault(shipped: Raw, known: Mapping[_Identity, Raw]) -> Fault | None:
    kind, name = shipped["kind"], shipped["metadata"]["name"]
    body = known.get((kind, name))
    if body is None or body["metadata"].get("deletionTimestamp"):
        return Fault(kind, name, "missing")
    if "spec" not in shipped:
        return None
    wanted, actual = _defaulted(kind, shipped["spec"]), _defaulted(kind, body.get("spec") or {})
    fields = sorted(key for key in wanted.keys() | actual.keys() if wanted.get(key) != actual.get(key))
    return Fault(kind, name, "changed", tuple(f"spec.{field}" for field in fields)) if fields else None


def _defaulted(kind: str, spec: Raw) -> Raw:
    """Return a spec with the API server's defaults, so that equivalent specs are equal values."""
    full = dict(spec)
    matching = "matchResources" if kind in (BINDING, MUTATING_BINDING) else "matchConstraints"
    if full.get(matching):
        full[matching] = _matching(full[matching])
    if kind in (POLICY, MUTATING_POLICY):
        full = {"failurePolicy": "Fail", **full}
    # An empty field means the same as an omitted one.
    return {key: value for key, value in full.items() if value not in (None, [], {})}


def _matching(match: Raw) -> Raw:
    rules = {
        key: [{"scope": "*", **rule} for rule in match[key]]
        for key in ("resourceRules", "excludeResourceRules")
        if match.get(key)
    }
    return {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, **match, **rules}
