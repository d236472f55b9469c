"""What makes a Job's spec useless before anything runs: what the API server or Assay refuses when the Job is created.

The schema of a Run accepts any Job. `assay validate` applies these rules to manifests, and the
operator applies them to an Experiment before it launches a run. Pure. The spec may contain anything.
"""

import posixpath
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from assay.api.objects import Raw
from assay.planning.runs import datasets

ASSAY_DIR: Final = "/assay"
#: Where only Assay may mount: the path itself, and for the first ones everything below it.
_WITH_ALL_BELOW: Final = (f"{ASSAY_DIR}/artifacts", f"{ASSAY_DIR}/metrics.jsonl", f"{ASSAY_DIR}/params.json")
_QUANTITY: Final = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([KMGTPE]i|[numkMGTPE]?)|([eE][+-]?[0-9]+))")
_SUFFIXES: Final = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
}
_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
_FIX: Final = {"GB": "G or Gi", "MB": "M or Mi", "KB": "k or Ki", "TB": "T or Ti", "g": "G or Gi", "K": "k or Ki"}

#: Keys and indexes below spec.job.
Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """One mistake: the path of the field below the Job's spec, and what is wrong with it."""

    path: Path
    message: str


def faults(job: Any, *, with_data: bool) -> Iterator[Fault]:
    """Yield the mistakes in a Job's spec. ``with_data``: the run fetches data sets."""
    pod = _map(_map(_map(job).get("template")).get("spec"))
    where: Path = ("template", "spec")
    policy = pod.get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        wrong = f"is {policy}" if policy else "is missing"
        yield Fault((*where, "restartPolicy") if policy else where, f"restartPolicy {wrong}: use Never or OnFailure")
    volumes = {str(each.get("name")) for each in _list(pod.get("volumes"))}
    for field in ("initContainers", "containers"):
        for index, container in enumerate(_list(pod.get(field))):
            yield from _container(container, (*where, field, index), volumes, with_data=with_data)


def first(job: Any, *, with_data: bool) -> str:
    """Return the first mistake with its path from spec.job; "" if there is none."""
    fault = next(faults(job, with_data=with_data), None)
    return f"{shown(('spec', 'job', *fault.path))}: {fault.message}" if fault else ""


def shown(path: Path) -> str:
    """Return a path in the usual notation."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def unknown_fields(message: str, job: Raw) -> str:
    """Return the fields that the API server does not know, by their paths in the Run; "" for any other error.

    ``job`` is the Job that it refused. Assay's own init containers come first there, and not at all in the Run.
    """
    _, strict, found = message.partition("strict decoding error: ")
    if not strict:
        return ""
    containers = _list(_map(_map(job["spec"]["template"]).get("spec")).get("initContainers"))
    ours = sum(str(each.get("name")).startswith("assay-") for each in containers)
    moved = re.sub(r"(initContainers\[)(\d+)(\])", lambda at: f"{at[1]}{int(at[2]) - ours}{at[3]}", found)
    return moved.replace('"spec.', '"spec.job.') + ": `assay validate` shows the lines"


def is_reserved(path: str, *, with_data: bool) -> bool:
    """Whether a mount at this path, in any spelling, would hide what Assay mounts or records."""
    # A relative path starts at the root, and POSIX gives two leading slashes a meaning of their own.
    plain = posixpath.normpath("/" + path.lstrip("/"))
    below = any(plain == own or plain.startswith(f"{own}/") for own in _WITH_ALL_BELOW)
    return plain in ("/", ASSAY_DIR) or below or (with_data and datasets.covers(plain))


def _container(container: Raw, where: Path, volumes: set[str], *, with_data: bool) -> Iterator[Fault]:
    if not container.get("image"):
        yield Fault(where, "image is missing")
    for field in ("command", "args"):
        value = container.get(field)
        if isinstance(value, str):
            yield Fault((*where, field), f"must be a list of strings: [{value!r}]")
    for index, mount in enumerate(_list(container.get("volumeMounts"))):
        here = (*where, "volumeMounts", index)
        if mount.get("name") not in volumes:
            yield Fault(here, f"the pod has no volume {mount.get('name')!r}")
        if is_reserved(str(mount.get("mountPath") or ""), with_data=with_data):
            yield Fault(
                (*here, "mountPath"), f"{mount.get('mountPath')} is reserved by Assay: mount the volume elsewhere"
            )
    for index, device in enumerate(_list(container.get("volumeDevices"))):
        if is_reserved(str(device.get("devicePath") or ""), with_data=with_data):
            yield Fault((*where, "volumeDevices", index), f"{device.get('devicePath')} is reserved by Assay")
    yield from _resources(_map(container.get("resources")), (*where, "resources"))


def _resources(resources: Raw, where: Path) -> Iterator[Fault]:
    amounts: dict[str, dict[str, Decimal]] = {}
    for field in ("requests", "limits"):
        for name, written in _map(resources.get(field)).items():
            amount = quantity(written)
            if not _is_known(name):
                yield Fault((*where, field, name), f"unknown resource {name}{_near(name)}")
            elif amount is None:
                yield Fault(
                    (*where, field, name), f"{written!r} is not an amount such as {_example(name)}{_fix(written)}"
                )
            elif amount < 0:
                yield Fault((*where, field, name), f"{written} is negative")
            else:
                amounts.setdefault(field, {})[name] = amount
    for name, amount in amounts.get("requests", {}).items():
        limit = amounts.get("limits", {}).get(name)
        if limit is not None and amount > limit:
            yield Fault(
                (*where, "requests", name),
                f"{resources['requests'][name]} is more than the limit {resources['limits'][name]}",
            )


def quantity(written: Any) -> Decimal | None:
    """Return a Kubernetes quantity such as 500m, 4Gi or 1e3; None if it is not one."""
    found = _QUANTITY.fullmatch(str(written)) if isinstance(written, str | int | float) else None
    if found is None or isinstance(written, bool):
        return None
    try:
        return Decimal(found[1] + (found[3] or "")) * _SUFFIXES[found[2] or ""]
    except InvalidOperation:
        return None


def _is_known(name: str) -> bool:
    return name in _RESOURCES or name.startswith("hugepages-") or len(name.split("/")) > 1


def _example(name: str) -> str:
    return {"cpu": "2 or 500m"}.get(name, "4Gi or 500M" if name in _RESOURCES else "1")


def _fix(written: Any) -> str:
    suffix = re.sub(r"^[0-9.]+\s*", "", str(written))
    return f": use {_FIX[suffix]} for {suffix}" if suffix in _FIX else ""


def _near(name: str) -> str:
    return ": use nvidia.com/gpu or your vendor's name" if name == "gpu" else f"; known: {', '.join(_RESOURCES)}"


def _map(value: Any) -> Raw:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Raw]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
