"""What Assay refuses in a Job template before it extends it: fields of a wrong type, and reserved names and paths.

Misspelled fields, and values that Kubernetes refuses, are the subject of `template`.
"""

from typing import Any

from assay.api import names
from assay.api.objects import Raw
from assay.planning.runs import datasets
from assay.planning.runs import template as templates


class InvalidTemplate(ValueError):
    """A Job template that Assay cannot extend."""


def is_ours(container: str) -> bool:
    """Whether a container of a training pod was added by Assay."""
    return container in (names.RECORDER_CONTAINER, names.STANDBY_CONTAINER) or datasets.is_fetch(container)


def check_shape(template: Raw) -> None:
    """Raise InvalidTemplate if a part that Assay extends has a different type than in core/v1.

    The API server checks the types only when the Job is created. The code that extends the template relies on them
    before that.
    """
    where = "spec.job.template"
    metadata, pod = _typed(template, "metadata", dict, where), template["spec"]
    _typed(metadata, "labels", dict, f"{where}.metadata")
    _typed(metadata, "annotations", dict, f"{where}.metadata")
    where = f"{where}.spec"
    _typed(pod, "terminationGracePeriodSeconds", int, where)
    _typed(pod, "securityContext", dict, where)
    _objects(pod, "volumes", where)
    for part in ("initContainers", "containers"):
        for index, container in enumerate(_objects(pod, part, where)):
            here = f"{where}.{part}[{index}]"
            _typed(container, "securityContext", dict, here)
            _objects(container, "env", here)
            _objects(container, "volumeMounts", here)


def check_own_pods(job: Raw) -> None:
    """Raise InvalidTemplate if the Job could count pods that it did not create, or if others write its status."""
    for field_name in ("manualSelector", "selector"):
        if job.get(field_name):
            raise InvalidTemplate(f"spec.job.{field_name}: the Job controller sets it for a run's pods: remove it")
    if job.get("managedBy") not in (None, "kubernetes.io/job-controller"):
        raise InvalidTemplate(
            f"spec.job.managedBy is {str(job['managedBy'])[:80]!r}: only Kubernetes' own Job controller can run it"
        )


def _typed(owner: Raw, field_name: str, kind: type, where: str) -> Any:
    """Return a field, or an empty value if it is absent; raise InvalidTemplate if it has a different type."""
    value = owner.get(field_name)
    if value is None:
        return kind()
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = {dict: "an object", list: "a list", int: "a whole number"}[kind]
        raise InvalidTemplate(f"{where}.{field_name} must be {wanted}")
    return value


def _objects(owner: Raw, field_name: str, where: str) -> list[Raw]:
    """Return a field that must be a list of objects; raise InvalidTemplate if it is not."""
    found: list[Raw] = _typed(owner, field_name, list, where)
    if any(not isinstance(item, dict) for item in found):
        raise InvalidTemplate(f"{where}.{field_name} must be a list of objects")
    return found


def check_free(pod: Raw, *, with_data: bool) -> None:
    """Raise InvalidTemplate if the template uses a name or path that Assay needs."""
    for volume in pod.get("volumes") or []:
        if str(volume.get("name", "")).startswith("assay-"):
            raise InvalidTemplate(f"volume {volume['name']!r}: names that begin with 'assay-' are reserved by Assay")
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        if not isinstance(container.get("name"), str):
            raise InvalidTemplate("every container needs a name")
        if is_ours(container["name"]):
            raise InvalidTemplate(f"container {container['name']!r}: this name is reserved by Assay")
        for mount in container.get("volumeMounts") or []:
            if str(mount.get("name", "")).startswith("assay-"):
                raise InvalidTemplate(
                    f"container {container['name']!r} mounts {mount['name']!r}: this volume is reserved by Assay"
                )
            path = str(mount.get("mountPath") or "")
            if templates.is_reserved(path, with_data=with_data):
                raise InvalidTemplate(f"container {container['name']!r} mounts {path}: this path is reserved by Assay")
