"""Compare the admission policies that a cluster has with those that were shipped. Pure.

The gate is as strong as its policies and their bindings: a policy without a binding is never asked, and one whose text
was changed asks something else. The shipped manifests are compared field by field, after both sides have been given
the API server's defaults.
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
    """What is wrong with one object. ``what`` is "missing" or "changed"; ``fields`` are those that differ."""

    kind: str
    name: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one sentence."""
        if self.what == "missing":
            return f"{self.kind} {self.name} is missing"
        return f"{self.kind} {self.name} was changed ({', '.join(self.fields)})"


def least() -> list[Raw]:
    """Return what has to exist where nobody has said what was shipped: each policy by its name, and its binding."""
    found: list[Raw] = []
    for name in sorted(names.ADMISSION_POLICIES):
        found.append({"kind": POLICY, "metadata": {"name": name}})
        binding = {"policyName": name, "validationActions": ["Deny"]}
        found.append({"kind": BINDING, "metadata": {"name": name}, "spec": binding})
    return found


def faults(shipped: Iterable[Raw], found: Mapping[str, Iterable[Raw]]) -> list[Fault]:
    """Return what is missing or changed, in the order of ``shipped``.

    ``found`` has the objects of the cluster by kind. An object that is being deleted counts as missing. A manifest
    without a spec only asks for an object of its name.
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
    """Return a spec with what the API server adds to it, so that equal specs are equal values."""
    full = dict(spec)
    matching = "matchResources" if kind in (BINDING, MUTATING_BINDING) else "matchConstraints"
    if full.get(matching):
        full[matching] = _matching(full[matching])
    if kind in (POLICY, MUTATING_POLICY):
        full = {"failurePolicy": "Fail", **full}
    # A field that is empty says the same as one that is left out.
    return {key: value for key, value in full.items() if value not in (None, [], {})}


def _matching(match: Raw) -> Raw:
    rules = {
        key: [{"scope": "*", **rule} for rule in match[key]]
        for key in ("resourceRules", "excludeResourceRules")
        if match.get(key)
    }
    return {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, **match, **rules}
