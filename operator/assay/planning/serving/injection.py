"""Alias → pod template: what the operator sets in a workload, so that it serves a model whose every byte is verified.

The result is for server-side apply under the operator's own field manager: it names the operator's fields and no
others. It is the same for the same version whenever it is made, so that a Deployment that goes back to a version finds
the ReplicaSet that it had. A name or a path that somebody else has taken is an error. What is the operator's own is put
right, whoever is noted as its owner.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from assay.api import names
from assay.api.objects import Raw
from assay.planning.runs.job import CREDENTIALS_KEY, NONROOT
from assay.planning.serving import ownership

FOLDER = "/models"
_CREDENTIALS = "/var/run/assay/store"
_VOLUMES = (names.MODEL_VOLUME, names.MODEL_CREDENTIALS_VOLUME)
_PATH, _NAME, _VERSION = names.MODEL_VARIABLES
_SERVED_VERSION = f"{names.SERVED_PREFIX}version"
#: <model>.<alias>, with the lengths that those names may have; the same as in the admission policy assay-serving.
FOLLOWS = "^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?[.][a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"


class CannotServe(ValueError):
    """The operator's parts do not fit into a workload. One sentence for people: what is wrong, where, what to do."""


@dataclass(frozen=True)
class Served:
    """What is to be served."""

    model: str
    alias: str
    version: int
    #: Of the artifact, `sha256:` and 64 digits.
    digest: str
    #: Of the manifest.json below the prefix; "" when it is not known.
    manifest_digest: str
    #: Where it lies in the store: models/<namespace>/<model>/v<N>.
    prefix: str
    #: The Secret with the credentials that read this prefix. The same version must always have the same name here.
    secret: str
    #: The file's name, of a model that is one file; "" of a folder.
    file: str = ""


@dataclass(frozen=True)
class ServingSettings:
    """What the operator's own configuration decides about the init container.

    A pod is in the class Guaranteed only if the init container's limits equal its requests, too.
    """

    image: str
    pull_policy: str = "IfNotPresent"
    resources: Raw = field(
        default_factory=lambda: {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    )


def follows(workload: Raw) -> tuple[str, str] | None:
    """Return (model, alias) that a raw Deployment or StatefulSet follows; None when it follows none.

    Raises CannotServe when its annotation names no alias.
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
    """Return the body to apply to a raw workload; without ``served`` one that gives back all that is the operator's.

    Raises CannotServe when something of somebody else's is in the way.
    """
    metadata = workload["metadata"]
    # With the UID, an object that was deleted in the meantime is not created anew.
    known = ("name", "namespace", "uid")
    body: Raw = {
        "apiVersion": workload["apiVersion"],
        "kind": workload["kind"],
        "metadata": {key: metadata[key] for key in known if metadata.get(key)},
    }
    if served is not None:
        for problem in _taken(workload):
            raise CannotServe(f"{_where(workload)}: {problem}")
        template = {"metadata": {"annotations": _annotations(served)}, "spec": _pod(workload, served, settings)}
        body["spec"] = {"template": template}
    return body


def in_template(workload: Raw) -> int | None:
    """Return the version that the operator has put into the pod template; None when there is none of it."""
    text = _template_annotations(workload).get(_SERVED_VERSION)
    return int(text) if isinstance(text, str) and re.fullmatch("[1-9][0-9]{0,8}", text) else None


def up_to_date(workload: Raw, body: Raw) -> bool:
    """Whether applying a body of ``applied`` would change nothing."""
    owned = ownership.owned(workload, names.FIELD_MANAGER)
    if "spec" not in body:
        return not owned and not _has_been_served(workload)
    return (owned is None or owned == ownership.paths(body)) and ownership.holds(workload, body)


def removal(workload: Raw) -> Raw | None:
    """Return a strategic merge patch that removes what is the operator's from a workload; None when nothing is left.

    Applying the body of ``applied`` without ``served`` removes the fields that the operator is noted as the owner of.
    Anybody can rewrite that note, and a backup may come without it: then this is what removes them.
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


# What is set


def _annotations(served: Served) -> dict[str, str]:
    told = {"model": served.model, "alias": served.alias, "version": str(served.version), "digest": served.digest}
    return {names.SERVED_PREFIX + key: value for key, value in told.items()}


def _pod(workload: Raw, served: Served, settings: ServingSettings) -> Raw:
    pod = workload["spec"]["template"]["spec"]
    init = [each["name"] for each in pod.get("initContainers") or [] if each["name"] != names.FETCH_CONTAINER]
    return {
        # Named in this order, so that init containers of theirs find the model too.
        "initContainers": [_fetch(served, settings), *(_equipped(name, served) for name in init)],
        "containers": [_equipped(each["name"], served) for each in pod["containers"]],
        "volumes": [
            {"name": names.MODEL_VOLUME, "emptyDir": {}},
            {
                "name": names.MODEL_CREDENTIALS_VOLUME,
                # Readable by whoever the pod's security context makes of us. Only one container mounts it.
                "secret": {"secretName": served.secret, "defaultMode": 0o444},
            },
        ],
    }


def _equipped(container: str, served: Served) -> Raw:
    """Return what a container of theirs gets."""
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
        "resources": settings.resources,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NONROOT,
            "runAsGroup": NONROOT,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": names.MODEL_VOLUME, "mountPath": FOLDER},
            {"name": names.MODEL_CREDENTIALS_VOLUME, "mountPath": _CREDENTIALS, "readOnly": True},
        ],
    }


def _env(values: dict[str, str]) -> list[Raw]:
    # Kubernetes expands $(…) in values, and a file may have any name.
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]


# What is in the way


def _has_been_served(workload: Raw) -> bool:
    """Whether the operator's parts are in a workload. The policies let nobody else write what says so."""
    return any(key.startswith(names.SERVED_PREFIX) for key in _template_annotations(workload))


def _taken(workload: Raw) -> Iterator[str]:
    """Yield what somebody else has set where the operator's parts belong, a sentence each.

    Who is noted as the owner of a field decides nothing: anybody can rewrite `metadata.managedFields`.
    """
    ours = _has_been_served(workload)
    pod = workload["spec"]["template"]["spec"]
    for volume in pod.get("volumes") or []:
        if volume["name"] in _VOLUMES and not ours:
            yield f"the volume {volume['name']} bears a name of Assay's own: give it another"
    yield from _taken_by_claims(workload)
    for part in ("initContainers", "containers"):
        for container in pod.get(part) or []:
            if container["name"] != names.FETCH_CONTAINER:
                yield from _taken_in(container, ours=ours)
            elif part == "containers" or not ours:
                yield f"a container is called {names.FETCH_CONTAINER}, a name of Assay's own: give it another"


def _taken_by_claims(workload: Raw) -> Iterator[str]:
    """A StatefulSet's claim takes the place of the pod's volume of that name."""
    for claim in workload["spec"].get("volumeClaimTemplates") or []:
        if (name := (claim.get("metadata") or {}).get("name")) in _VOLUMES:
            yield f"a volumeClaimTemplate is named {name}, a name of Assay's own: give it another"


def _taken_in(container: Raw, *, ours: bool) -> Iterator[str]:
    who = f"container {container['name']}"
    for variable in container.get("env") or []:
        name = variable["name"]
        if name in names.MODEL_VARIABLES and not ours:
            yield f"{who} sets {name}, which says what is served: take it away, or give it another name"
    for mount in container.get("volumeMounts") or []:
        volume, path = mount["name"], mount["mountPath"]
        if volume == names.MODEL_VOLUME and path == FOLDER and ours:
            continue
        if volume in _VOLUMES:
            yield f"{who} mounts the volume {volume} at {path}, which is the operator's: take this mount away"
        elif _collides(path):
            yield f"{who} mounts {volume} at {path}, and the model is at {FOLDER}: mount it elsewhere"
    for device in container.get("volumeDevices") or []:
        if _collides(device["devicePath"]):
            yield f"{who} has a device at {device['devicePath']}, and the model is at {FOLDER}: put it elsewhere"


def _collides(path: str) -> bool:
    """Whether what is mounted there would cover the model, or be covered by it."""
    # Runtimes tidy a path up before they mount there.
    plain = posixpath.normpath("/" + path.lstrip("/"))
    return plain == "/" or f"{plain}/".startswith(f"{FOLDER}/")
