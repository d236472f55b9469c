"""The recipe of a run: what is missing from it, and how to build a rerun pinned to the known digests.

Pure: it reads the Run's spec and status only and does not check whether an image or a commit still exists. The types of
the fields in a Job template are unchecked.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.planning.conditions import Status, flag
from assay.planning.runs.job import inheritable

Flag = tuple[Status, str, str]

#: A full git commit hash: sha1 or sha256.
_COMMIT = re.compile(r"[0-9a-fA-F]{40}([0-9a-fA-F]{24})?")
_SEED = "seed"
#: Volumes without external content.
_OWN_CONTENT = ("emptyDir", "downwardAPI")
_MAX_OUTSIDE = 5
#: The maximum length of a Run's name, minus five characters that the API server appends, minus the suffix below.
_RERUN = "-rerun-"
_LONGEST_NAME = 57 - 5 - len(_RERUN)


@dataclass(frozen=True)
class Assessment:
    """What is missing in a recipe, and notes about the rest; each is a clause of the condition's message."""

    missing: tuple[str, ...]
    notes: tuple[str, ...]


def assess(run: Raw) -> Assessment:
    """Return what is missing in the recipe of a finished Run; ``run`` is the raw object."""
    spec, status = run.get("spec") or {}, run.get("status") or {}
    unknown, notes = _images(spec, status)
    missing = (*unknown, *_source(spec.get("source")), *_code(spec), *_datasets(spec, status), *_seed(spec))
    outside = list(_outside(_pod(spec)))
    if outside:
        more = f" and {len(outside) - _MAX_OUTSIDE} more" if len(outside) > _MAX_OUTSIDE else ""
        notes = [*notes, f"not part of the recipe: {', '.join(outside[:_MAX_OUTSIDE])}{more}"]
    return Assessment(missing, tuple(notes))


def condition(run: Raw) -> Flag:
    """Return (status, reason, message) of a Run's condition Reproducible."""
    found = assess(run)
    if found.missing:
        message = f"not reproducible: {'; '.join(found.missing)}"
    else:
        message = "images, source, datasets, parameters and seed are known"
    reason = names.RECIPE_INCOMPLETE if found.missing else names.RECIPE_KNOWN
    return flag(not found.missing, reason, "; ".join((message, *found.notes)))


def condition_of(run: Raw) -> Flag:
    """Return the condition Reproducible of a Run; compute it for an older Run whose status lacks it."""
    for found in (run.get("status") or {}).get("conditions") or []:
        if found.get("type") == names.REPRODUCIBLE:
            return found["status"], found["reason"], found.get("message") or ""
    return condition(run)


# What is missing


def _pod(spec: Raw) -> Raw:
    """Return the spec of the run's pods."""
    pod: Raw = spec["job"]["template"]["spec"]
    return pod


def _objects(owner: Raw, key: str) -> list[Raw]:
    """Return the objects of a list; [] when the value is not a list."""
    found = owner.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def containers_of(spec: Raw) -> list[Raw]:
    """Return the user's containers and init containers of a Run's spec, by reference."""
    pod = _pod(spec)
    return [*_objects(pod, "containers"), *_objects(pod, "initContainers")]


def digests_of(status: Raw) -> dict[str, str]:
    """Return the known image digests by container name."""
    return {each["container"]: each["digest"] for each in status.get("images") or [] if each.get("digest")}


def _images(spec: Raw, status: Raw) -> tuple[list[str], list[str]]:
    """Return (missing, notes): the images without a known digest, and the images that cannot be pulled again."""
    digests = digests_of(status)
    unknown, notes = [], []
    for container in containers_of(spec):
        name = str(container.get("name"))[:63]
        digest = digests.get(name, "")
        if not digest and "@sha256:" not in str(container.get("image")):
            unknown.append(f"the digest of the image of container {name} is unknown")
        elif digest and "@" not in digest:
            # An image ID identifies the bytes, which is enough for the recipe, but not a repository to pull from.
            notes.append(f"the image of container {name} was never pulled: it has an ID but no registry digest")
    return unknown, notes


def _source(source: Raw | None) -> Iterator[str]:
    if not source:
        yield "spec.source is missing"
        return
    revision = source.get("revision")
    if not revision:
        yield "spec.source.revision is missing"
    elif not _COMMIT.fullmatch(revision):
        yield f"spec.source.revision {revision} is not a full commit hash"
    if source.get("dirty"):
        yield "spec.source.dirty is true: the working tree had uncommitted changes"


def _code(spec: Raw) -> Iterator[str]:
    """Yield the volumes that hold code which no commit and no image pins.

    A ConfigMap is text that somebody can change at any time. Any other volume counts if a command runs something in it.
    """
    outside = {name: kind for name, kind in _outside_volumes(_pod(spec)) if kind != "secret"}
    found: dict[str, str] = {}
    for container in containers_of(spec):
        words = [str(container.get("workingDir") or "")]
        for key in ("command", "args"):
            given = container.get(key)
            words += [word for text in given for word in str(text).split()] if isinstance(given, list) else []
        for mount in _objects(container, "volumeMounts"):
            name, path = str(mount.get("name")), str(mount.get("mountPath") or "").rstrip("/")
            used = any(word == path or word.startswith(f"{path}/") for word in words)
            if name in outside and (outside[name] == "configMap" or used):
                found[name] = outside[name]
    for name, kind in found.items():
        yield f"volume {name[:63]} ({kind[:63]}) can hold code that no commit pins: put it into the image"


def _outside_volumes(pod: Raw) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each volume with external content that can change."""
    for volume in _objects(pod, "volumes"):
        kinds = [kind for kind in volume if kind not in ("name", *_OWN_CONTENT) and volume[kind] is not None]
        if kinds and "@sha256:" not in str(volume.get("image")):
            yield str(volume.get("name")), _kind(volume, kinds[0])


def _kind(volume: Raw, kind: str) -> str:
    """Return the kind of a volume; a projected one with a ConfigMap counts as one."""
    sources = _objects(volume[kind], "sources") if isinstance(volume[kind], dict) else []
    return "configMap" if any(each.get("configMap") for each in sources) else kind


def _datasets(spec: Raw, status: Raw) -> Iterator[str]:
    for dataset in datasets_of(spec, status):
        if not dataset.get("digest"):
            yield f"dataset {dataset.get('name')} has no digest"


def datasets_of(spec: Raw, status: Raw) -> list[Raw]:
    """Return the data sets of a Run's spec, each with its declared digest or else the recorded one."""
    found = {each.get("name"): each.get("digest") for each in status.get("datasets") or []}
    return [
        {**each, "digest": found[each.get("name")]} if not each.get("digest") and found.get(each.get("name")) else each
        for each in spec.get("datasets") or []
    ]


def _seed(spec: Raw) -> Iterator[str]:
    if spec.get("seed") is None and (spec.get("parameters") or {}).get(_SEED) is None:
        yield "the seed is missing: set spec.seed or a parameter named seed"


def _outside(pod: Raw) -> Iterator[str]:
    """Yield the containers' external inputs, which are not part of the recipe and can change."""
    for volume, kind in _outside_volumes(pod):
        yield f"volume {volume[:63]} ({kind[:63]})"
    for container in [*_objects(pod, "containers"), *_objects(pod, "initContainers")]:
        name = str(container.get("name"))[:63]
        if _objects(container, "envFrom"):
            yield f"envFrom of container {name}"
        for variable in _objects(container, "env"):
            source = variable.get("valueFrom")
            for kind in ("configMapKeyRef", "secretKeyRef", "fileKeyRef"):
                if isinstance(source, dict) and source.get(kind):
                    yield f"variable {str(variable.get('name'))[:63]} of container {name} ({kind})"


# A new Run


def rerun_body(
    run: Raw,
    name: str | None = None,
    *,
    owner: str | None = None,
    tolerance: float | None = None,
    tolerances: Mapping[str, float] | None = None,
) -> Raw:
    """Return a new Run from the recipe of a finished one, ready to be created.

    Images that can be pulled by digest are pinned to it, and the digests of data sets are filled in. Without a ``name``
    the API server generates one. ``owner`` is for API servers that do not fill in the owner; a rerun does not inherit
    the original's owner or Experiment. ``tolerance`` and ``tolerances`` (by metric) are the allowed relative deviation
    from the original's results. Raises ValueError for a run that has not finished.
    """
    metadata, status = run["metadata"], run.get("status") or {}
    if status.get("phase") not in TERMINAL:
        raise ValueError(f"run {metadata['name']} has not finished: wait for its end before you rerun it")
    spec = copy.deepcopy(run["spec"])
    spec.pop("owner", None)
    _pin(spec, status)
    spec["rerunOf"] = _reference(metadata, tolerance, tolerances)
    labels = _user_defined(metadata.get("labels"))
    annotations = _user_defined(metadata.get("annotations"))
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.RUN,
        "metadata": {
            **({"name": name} if name else {"generateName": metadata["name"][:_LONGEST_NAME].rstrip("-") + _RERUN}),
            "namespace": metadata["namespace"],
            **({"labels": labels} if labels else {}),
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {**({"owner": owner} if owner else {}), **spec},
    }


def _pin(spec: Raw, status: Raw) -> None:
    """Replace image names with digests, in place. An image with only an image ID keeps its name."""
    digests = digests_of(status)
    for container in containers_of(spec):
        digest = digests.get(str(container.get("name")), "")
        if "@" in digest and "@" not in str(container.get("image")):
            container["image"] = digest
    if spec.get("datasets"):
        spec["datasets"] = datasets_of(spec, status)


def _reference(metadata: Raw, tolerance: float | None, tolerances: Mapping[str, float] | None) -> Raw:
    experiment = (metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT)
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        **({"experiment": experiment} if experiment else {}),
        **({} if tolerance is None else {"tolerance": tolerance}),
        **({"tolerances": dict(tolerances)} if tolerances else {}),
    }


def _user_defined(found: dict[str, str] | None) -> dict[str, str]:
    """Return the user's labels or annotations: neither Assay's nor those that tools use to track objects."""
    return {key: value for key, value in inheritable(found).items() if not key.startswith(f"{names.GROUP}/")}
