"""The recipe of a run: how much of it is known, and a new Run made from it, pinned to what is known.

Pure: what is known is what the Run's spec and status say. Nothing here asks whether an image or a commit is still
there, and a job's template is looked at as it is: nobody has checked the types of its fields.
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

#: Of git, by its full hash: sha1 or sha256.
_COMMIT = re.compile(r"[0-9a-fA-F]{40}([0-9a-fA-F]{24})?")
_SEED = "seed"
#: Volumes whose content the recipe makes itself.
_OWN_CONTENT = ("emptyDir", "downwardAPI")
_MAX_OUTSIDE = 5
#: A Run's name, less five characters that the API server adds and the ending below.
_RERUN = "-rerun-"
_LONGEST_NAME = 57 - 5 - len(_RERUN)


@dataclass(frozen=True)
class Assessment:
    """What of a recipe is missing, and what one has to know of the rest; one sentence's part each."""

    missing: tuple[str, ...]
    notes: tuple[str, ...]


def assess(run: Raw) -> Assessment:
    """Return what is missing in the recipe of a Run, ``run`` being the raw object as it is at its end."""
    spec, status = run.get("spec") or {}, run.get("status") or {}
    unknown, notes = _images(spec, status)
    missing = (*unknown, *_source(spec.get("source")), *_datasets(spec, status), *_seed(spec))
    outside = list(_outside(_pod(spec)))
    if outside:
        more = f" and {len(outside) - _MAX_OUTSIDE} more" if len(outside) > _MAX_OUTSIDE else ""
        notes = [*notes, f"not part of the recipe: {', '.join(outside[:_MAX_OUTSIDE])}{more}"]
    return Assessment(missing, tuple(notes))


def condition(run: Raw) -> Flag:
    """Return (status, reason, message) of a Run's condition Reproducible."""
    found = assess(run)
    if found.missing:
        said = f"not reproducible: {'; '.join(found.missing)}"
    else:
        said = "images, source, datasets, parameters and seed are known"
    reason = names.RECIPE_INCOMPLETE if found.missing else names.RECIPE_KNOWN
    return flag(not found.missing, reason, "; ".join((said, *found.notes)))


def condition_of(run: Raw) -> Flag:
    """Return the condition Reproducible that a Run has; of one that ended before there was any, what it would be."""
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
    """Return the objects of a list, none when it is no list."""
    found = owner.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def containers_of(spec: Raw) -> list[Raw]:
    """Return the user's containers and init containers of a Run's spec, as they are: not copied."""
    pod = _pod(spec)
    return [*_objects(pod, "containers"), *_objects(pod, "initContainers")]


def digests_of(status: Raw) -> dict[str, str]:
    """Return what identifies the bytes of each container's image, by the container's name, as far as it is known."""
    return {each["container"]: each["digest"] for each in status.get("images") or [] if each.get("digest")}


def _images(spec: Raw, status: Raw) -> tuple[list[str], list[str]]:
    """Return the images that are known by name only, and of the others what one has to know of them."""
    digests = digests_of(status)
    unknown, notes = [], []
    for container in containers_of(spec):
        name = str(container.get("name"))[:63]
        digest = digests.get(name, "")
        if not digest and "@sha256:" not in str(container.get("image")):
            unknown.append(f"the image of container {name} is known by its name only")
        elif digest and "@" not in digest:
            # It says which bytes they were, and that is what the recipe is asked for. Where to get them it does not.
            notes.append(f"the image of container {name} was never pulled: its id is known, but not where to get it")
    return unknown, notes


def _source(source: Raw | None) -> Iterator[str]:
    if not source:
        yield "spec.source is missing"
        return
    revision = source.get("revision")
    if not revision:
        yield "spec.source.revision is missing"
    elif not _COMMIT.fullmatch(revision):
        yield f"spec.source.revision {revision} is no full commit hash"
    if source.get("dirty"):
        yield "spec.source.dirty says that the tree had changes which no revision has"


def _datasets(spec: Raw, status: Raw) -> Iterator[str]:
    for dataset in datasets_of(spec, status):
        if not dataset.get("digest"):
            yield f"dataset {dataset.get('name')} has no digest"


def datasets_of(spec: Raw, status: Raw) -> list[Raw]:
    """Return the data sets of a Run's spec, each with its digest: the declared one, else the one that was found."""
    found = {each.get("name"): each.get("digest") for each in status.get("datasets") or []}
    return [
        {**each, "digest": found[each.get("name")]} if not each.get("digest") and found.get(each.get("name")) else each
        for each in spec.get("datasets") or []
    ]


def _seed(spec: Raw) -> Iterator[str]:
    if spec.get("seed") is None and (spec.get("parameters") or {}).get(_SEED) is None:
        yield "there is no seed: neither spec.seed nor a parameter named seed"


def _outside(pod: Raw) -> Iterator[str]:
    """Yield what the containers read that is in no recipe, because it is kept elsewhere and can change there."""
    for volume in _objects(pod, "volumes"):
        kinds = [kind for kind in volume if kind not in ("name", *_OWN_CONTENT) and volume[kind] is not None]
        if kinds and "@sha256:" not in str(volume.get("image")):
            yield f"volume {str(volume.get('name'))[:63]} ({kinds[0][:63]})"
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
    """Return a new Run from the recipe of one that has ended, ready to be created.

    Its images are named by digest where they can be pulled again, and the digests of its datasets are filled in.
    Without a ``name`` the API server makes one. ``owner`` is for API servers that fill in no owner; nobody's rerun
    belongs to the first run's owner or Experiment. ``tolerance`` and ``tolerances``, by the metric, are relative: how
    far the results may be from the first run's. Raises ValueError for a run that goes on.
    """
    metadata, status = run["metadata"], run.get("status") or {}
    if status.get("phase") not in TERMINAL:
        raise ValueError(f"run {metadata['name']} goes on: it can be run again once it has ended")
    spec = copy.deepcopy(run["spec"])
    spec.pop("owner", None)
    _pin(spec, status)
    spec["rerunOf"] = _reference(metadata, tolerance, tolerances)
    labels = _of_people(metadata.get("labels"))
    annotations = _of_people(metadata.get("annotations"))
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
    """Put digests in the place of names, in place. What is known by its id alone can only be had by its name."""
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


def _of_people(found: dict[str, str] | None) -> dict[str, str]:
    """Return the labels or annotations that are neither Assay's nor those by which tools track objects."""
    return {key: value for key, value in inheritable(found).items() if not key.startswith(f"{names.GROUP}/")}
