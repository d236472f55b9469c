"""Alias → pod template: the fields that the operator sets in a workload so that it serves a fully verified model.

The result is for server-side apply with the operator's own field manager: it contains the operator's fields and no
others. The same version always gives the same result, so that a Deployment that returns to a version reuses its
ReplicaSet. A name or path that the user's template already uses is an error. The operator corrects its own parts,
whoever managedFields lists as their owner.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from assay.api import names
from assay.api.objects import Raw
from assay.planning.injected import Injected
from assay.planning.runs.job import CREDENTIALS_KEY, NONROOT
from assay.planning.serving import ownership

FOLDER = "/models"
_CREDENTIALS = "/var/run/assay/store"
_VOLUMES = (names.MODEL_VOLUME, names.MODEL_CREDENTIALS_VOLUME)
_PATH, _NAME, _VERSION = names.MODEL_VARIABLES
_SERVED_VERSION = f"{names.SERVED_PREFIX}version"
#: <model>.<alias> with the length limits of those names; the same as in the admission policy assay-serving.
FOLLOWS = "^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?[.][a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"


class CannotServe(ValueError):
    """The operator's parts do not fit into a workload. One sentence for users: what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Served:
    """The version to serve."""

    model: str
    alias: str
    version: int
    #: Digest of the artifact: `sha256:` and 64 digits.
    digest: str
    #: Digest of the manifest.json below the prefix; "" if unknown.
    manifest_digest: str
    #: Prefix in the store: models/<namespace>/<model>/v<N>.
    prefix: str
    #: The Secret with the credentials that read this prefix. The same version must always have the same name here.
    secret: str
    #: File name if the model is one file; "" if it is a folder.
    file: str = ""


@dataclass(frozen=True)
class ServingSettings:
    """The operator's settings for the init container.

    A pod has the QoS class Guaranteed only if the limits of the init container also equal its requests.
    """

    image: str
    pull_policy: str = "IfNotPresent"
    resources: Raw = field(
        default_factory=lambda: {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    )
    fetch: Injected = field(default_factory=Injected)


def follows(workload: Raw) -> tuple[str, str] | None:
    """Return (model, alias) that a raw Deployment or StatefulSet follows; None if it follows none.

    Raises CannotServe if its annotation does not name a valid alias.
    """
    wanted = (workload["metadata"].get("annotations") or {}).get(names.ANNOTATION_SERVE)
    if wanted is None:
        return None
    if not isinstance(wanted, str) or not re.fullmatch(FOLLOWS[1:-1], wanted):
        raise CannotServe(
            f"{_where(workload)}: the annotation {names.ANNOTATION_SERVE} is {str(wanted)[:200]!r}; "
            "it must be <model>.<alias>, an alias of this namespace"
        )
    model, _, alias = wanted.partition(".")
    return model, alias


def applied(workload: Raw, served: Served | None, settings: ServingSettings) -> Raw:
    """Return the body to apply to a raw workload. Without ``served``, the body gives up all of the operator's fields.

    Raises CannotServe if a part of another owner conflicts.
    """
    metadata = workload["metadata"]
    # With the UID, an apply does not recreate an object that was deleted in the meantime.
    known = ("name", "namespace", "uid")
    body: Raw = {
        "apiVersion": workload["apiVersion"],
        "kind": workload["kind"],
        "metadata": {key: metadata[key] for key in known if metadata.get(key)},
    }
    if served is not None:
        for problem in _taken(workload):
            raise CannotServe(f"{_where(workload)}: {problem}")
        template: Raw = {"metadata": {"annotations": _annotations(served)}, "spec": _pod(workload, served, settings)}
        settings.fetch.dress(template)
        _keep_own(template["metadata"], workload)
        body["spec"] = {"template": template}
    return body


def _keep_own(metadata: Raw, workload: Raw) -> None:
    """Leave out labels and annotations that the workload's own template has with another value."""
    own = workload["spec"]["template"].get("metadata") or {}
    for part in ("labels", "annotations"):
        theirs = own.get(part) or {}
        kept = {
            key: value
            for key, value in metadata[part].items()
            if key.startswith(names.SERVED_PREFIX) or theirs.get(key, value) == value
        }
        if kept:
            metadata[part] = kept
        else:
            del metadata[part]


def in_template(workload: Raw) -> int | None:
    """Return the version that the operator has set in the pod template; None if there is none."""
    text = _template_annotations(workload).get(_SERVED_VERSION)
    return int(text) if isinstance(text, str) and re.fullmatch("[1-9][0-9]{0,8}", text) else None


def up_to_date(workload: Raw, body: Raw) -> bool:
    """Whether applying a body of ``applied`` would change nothing."""
    owned = ownership.owned(workload, names.FIELD_MANAGER)
    if "spec" not in body:
        return not owned and not _has_been_served(workload)
    return (owned is None or owned == ownership.paths(body)) and ownership.holds(workload, body)


def removal(workload: Raw) -> Raw | None:
    """Return a strategic merge patch that removes the operator's parts from a workload; None if there are none.

    Applying the body of ``applied`` without ``served`` removes the fields that managedFields lists for the operator.
    Anybody can rewrite managedFields, and a restored backup may lack it. This patch covers those cases.
    """
    if not _has_been_served(workload):
        return None
    pod, marks = workload["spec"]["template"]["spec"], _template_annotations(workload)
    ours = {key: None for key in marks if key.startswith(names.SERVED_PREFIX)}
    fetch = [each for each in pod.get("initContainers") or [] if each["name"] == names.FETCH_CONTAINER]
    init = [each for each in pod.get("initContainers") or [] if each["name"] != names.FETCH_CONTAINER]
    volumes = [each["name"] for each in pod.get("volumes") or [] if each["name"] in _VOLUMES]
    spec = {
        "initContainers": [_deletion("name", each["name"]) for each in fetch] + [_stripped(each) for each in init],
        "containers": [_stripped(each) for each in pod["containers"]],
        "volumes": [_deletion("name", each) for each in volumes],
    }
    return {"spec": {"template": {"metadata": {"annotations": ours}, "spec": spec}}}


def _stripped(container: Raw) -> Raw:
    env = [each["name"] for each in container.get("env") or [] if each["name"] in names.MODEL_VARIABLES]
    mounts = [each["mountPath"] for each in container.get("volumeMounts") or [] if each["name"] in _VOLUMES]
    return {
        "name": container["name"],
        "env": [_deletion("name", each) for each in env],
        "volumeMounts": [_deletion("mountPath", each) for each in mounts],
    }


def _deletion(key: str, value: str) -> Raw:
    return {key: value, "$patch": "delete"}


def _where(workload: Raw) -> str:
    return f"{workload['kind']} {workload['metadata']['name']}"


def _template_annotations(workload: Raw) -> Raw:
    return (workload["spec"]["template"].get("metadata") or {}).get("annotations") or {}


# The operator's fields


def _annotations(served: Served) -> dict[str, str]:
    told = {"model": served.model, "alias": served.alias, "version": str(served.version), "digest": served.digest}
    return {names.SERVED_PREFIX + key: value for key, value in told.items()}


def _pod(workload: Raw, served: Served, settings: ServingSettings) -> Raw:
    pod = workload["spec"]["template"]["spec"]
    init = [each["name"] for each in pod.get("initContainers") or [] if each["name"] != names.FETCH_CONTAINER]
    return {
        # The fetch comes first, so that the user's init containers can use the model too.
        "initContainers": [_fetch(served, settings), *(_equipped(name, served) for name in init)],
        "containers": [_equipped(each["name"], served) for each in pod["containers"]],
        "volumes": [
            {"name": names.MODEL_VOLUME, "emptyDir": {}},
            {
                "name": names.MODEL_CREDENTIALS_VOLUME,
                # Readable by any user that the pod's security context may set. Only one container mounts it.
                "secret": {"secretName": served.secret, "defaultMode": 0o444},
            },
        ],
    }


def _equipped(container: str, served: Served) -> Raw:
    """Return the fields that a user's container gets."""
    path = posixpath.join(FOLDER, served.model, served.file).rstrip("/")
    env = {_PATH: path, _NAME: served.model, _VERSION: str(served.version)}
    return {
        "name": container,
        "env": _env(env),
        "volumeMounts": [{"name": names.MODEL_VOLUME, "mountPath": FOLDER, "readOnly": True}],
    }


def _fetch(served: Served, settings: ServingSettings) -> Raw:
    env = {
        "ASSAY_FETCH_PREFIX": served.prefix,
        "ASSAY_FETCH_DIGEST": served.digest,
        **({"ASSAY_FETCH_MANIFEST_DIGEST": served.manifest_digest} if served.manifest_digest else {}),
        "ASSAY_FETCH_DIR": f"{FOLDER}/{served.model}",
        "ASSAY_CREDENTIALS": f"{_CREDENTIALS}/{CREDENTIALS_KEY}",
    }
    return {
        "name": names.FETCH_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["python", "-m", "assay.fetch"],
        "env": _env(env),
        "resources": settings.resources if settings.fetch.resources is None else settings.fetch.resources,
        "securityContext": settings.fetch.secured(
            {
                "runAsNonRoot": True,
                "runAsUser": NONROOT,
                "runAsGroup": NONROOT,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        ),
        "volumeMounts": [
            {"name": names.MODEL_VOLUME, "mountPath": FOLDER},
            {"name": names.MODEL_CREDENTIALS_VOLUME, "mountPath": _CREDENTIALS, "readOnly": True},
        ],
    }


def _env(values: dict[str, str]) -> list[Raw]:
    # Kubernetes expands $(…) in values, and a file name may contain it.
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]


# Conflicts


def _has_been_served(workload: Raw) -> bool:
    """Whether a workload contains the operator's parts. The policies let nobody else set these annotations."""
    return any(key.startswith(names.SERVED_PREFIX) for key in _template_annotations(workload))


def _taken(workload: Raw) -> Iterator[str]:
    """Yield one sentence for each conflict with the operator's parts.

    Field owners do not matter: anybody can rewrite `metadata.managedFields`.
    """
    ours = _has_been_served(workload)
    pod = workload["spec"]["template"]["spec"]
    for volume in pod.get("volumes") or []:
        if volume["name"] in _VOLUMES and not ours:
            yield f"the volume {volume['name']} has a name reserved by Assay: rename it"
    yield from _taken_by_claims(workload)
    for part in ("initContainers", "containers"):
        for container in pod.get(part) or []:
            if container["name"] != names.FETCH_CONTAINER:
                yield from _taken_in(container, ours=ours)
            elif part == "containers" or not ours:
                yield f"a container is called {names.FETCH_CONTAINER}, a name reserved by Assay: rename it"


def _taken_by_claims(workload: Raw) -> Iterator[str]:
    """Yield conflicts with volumeClaimTemplates: in a StatefulSet they replace pod volumes of the same name."""
    for claim in workload["spec"].get("volumeClaimTemplates") or []:
        if (name := (claim.get("metadata") or {}).get("name")) in _VOLUMES:
            yield f"a volumeClaimTemplate is named {name}, a name reserved by Assay: rename it"


def _taken_in(container: Raw, *, ours: bool) -> Iterator[str]:
    who = f"container {container['name']}"
    for variable in container.get("env") or []:
        name = variable["name"]
        if name in names.MODEL_VARIABLES and not ours:
            yield f"{who} sets {name}, which the operator sets: remove or rename it"
    for mount in container.get("volumeMounts") or []:
        volume, path = mount["name"], mount["mountPath"]
        if volume == names.MODEL_VOLUME and path == FOLDER and ours:
            continue
        if volume in _VOLUMES:
            yield f"{who} mounts the volume {volume} at {path}, which belongs to the operator: remove this mount"
        elif _collides(path):
            yield f"{who} mounts {volume} at {path}, but the model is mounted at {FOLDER}: mount it elsewhere"
    for device in container.get("volumeDevices") or []:
        if _collides(device["devicePath"]):
            path = device["devicePath"]
            yield f"{who} has a device at {path}, but the model is mounted at {FOLDER}: put it elsewhere"


def _collides(path: str) -> bool:
    """Whether a mount at this path would hide the model or be hidden by it."""
    # Container runtimes normalize a path before they mount.
    plain = posixpath.normpath("/" + path.lstrip("/"))
    return plain == "/" or f"{plain}/".startswith(f"{FOLDER}/")
