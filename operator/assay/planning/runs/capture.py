"""How the recorder learns what the training container runs in: the image volume, and what it is told.

The image of the training container, the first one of the pod, is mounted read-only for the recorder, who reads what
is installed in it. Nothing here decides whether a cluster can mount images.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

from assay.api.objects import Raw

VOLUME = "assay-image"
FOLDER = "/image"
#: Why no image is mounted, unless somebody knows better.
NOT_ASKED = "nobody has asked for it"
#: As many as a record holds, and together less than what one variable may hold.
_MAX_VARIABLES, _MAX_BYTES, _MAX_CHARS = 1000, 64 << 10, 256
_RECORDER = "assay-recorder"
#: Of a container that is not created, whatever the reason; an image that cannot be pulled has others.
_REFUSALS = ("CreateContainerError", "RunContainerError")
_MAX_RESOURCES = 32
_MAX_IMAGE = 1024
_GPU = re.compile(r"gpu|/(mig-|tpu|npu|gaudi|neuron|xpu)")

# Kubernetes mounts images from 1.35 on without being asked; these runtimes can.
_KUBELET = (1, 35)
_RUNTIMES = {"containerd": (2, 1), "cri-o": (1, 33)}


# Whether nodes can mount images


def why_not(nodes: Iterable[Raw]) -> str:
    """Return why pods cannot have image volumes on one of these nodes, raw objects; "" when all of them can."""
    found = False
    for node in nodes:
        info = (node.get("status") or {}).get("nodeInfo") or {}
        if info.get("operatingSystem", "linux") != "linux":
            continue
        found = True
        problem = _problem(str(info.get("kubeletVersion")), str(info.get("containerRuntimeVersion")))
        if problem:
            return f"node {node['metadata']['name']} {problem}"
    return "" if found else "there is no node yet"


def _problem(kubelet: str, runtime: str) -> str:
    if _version(kubelet) < _KUBELET:
        return f"has the kubelet {kubelet}, images can be mounted from v1.35 on"
    name, _, version = runtime.partition("://")
    if name not in _RUNTIMES:
        return f"has the runtime {runtime}, of which it is not known that it can mount images"
    needed = _RUNTIMES[name]
    if _version(version) < needed:
        return f"has {name} {version}, images can be mounted from {'.'.join(map(str, needed))} on"
    return ""


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


# A pod that cannot be created


class PodLike(Protocol):
    """What is asked of a pod."""

    @property
    def waiting_reason(self) -> str: ...  # noqa: D102
    @property
    def waiting_message(self) -> str: ...  # noqa: D102


def refused(pods: Iterable[PodLike], message: str) -> str:
    """Return why a run's pods cannot be created with the image, in words; "" when nothing says so.

    ``message`` is what the Run says: it quotes a policy that refuses the volume.
    """
    for pod in pods:
        if pod.waiting_reason in _REFUSALS and pod.waiting_message.startswith(f"container {_RECORDER}: "):
            return f"the pod could not be created with it: {pod.waiting_message}"[:1000]
    return f"the pod was refused with it: {message}"[:1000] if f'"{VOLUME}"' in message else ""


def is_shown(pod: Raw) -> bool:
    """Whether a pod's spec mounts the training container's image for the recorder."""
    return any(volume.get("name") == VOLUME for volume in pod.get("volumes") or [])


# The pod


def training(pod: Raw) -> Raw:
    """Return the container that trains: the first."""
    first: Raw = pod["containers"][0]
    return first


def volumes(pod: Raw) -> list[Raw]:
    """Return the volume with the image of the training container, as it pulls it."""
    container = training(pod)
    if not _reference(container):
        return []
    policy = {"pullPolicy": container["imagePullPolicy"]} if container.get("imagePullPolicy") else {}
    return [{"name": VOLUME, "image": {"reference": _reference(container), **policy}}]


def mount() -> Raw:
    """Return how the recorder has the image."""
    return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}


def variables(pod: Raw, unseen: str) -> list[Raw]:
    """Return the recorder's variables. ``unseen`` says why the image is not mounted, "" when it is."""
    return [
        {"name": "ASSAY_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ASSAY_TRAINING", "value": told(pod, unseen)},
    ]


def told(pod: Raw, unseen: str) -> str:
    """Return what the recorder is told of the training container, as JSON. Of variables it is told the names alone."""
    container = training(pod)
    requests, limits = (_resources(container, part) for part in ("requests", "limits"))
    # For such resources a limit is a request.
    gpus = {name: amount for name, amount in {**limits, **requests}.items() if _GPU.search(name)}
    facts = {
        "container": str(container["name"])[:_MAX_CHARS],
        "image": _reference(container)[:_MAX_IMAGE],
        "variables": _bounded(each.get("name") for each in container.get("env") or []),
        "variables_from": _bounded(_sources(container.get("envFrom"))),
        "requests": requests,
        "limits": limits,
        "gpus": gpus,
    }
    if unseen or not volumes(pod):
        facts["unseen"] = unseen or "the training container names no image"
    # The kubelet would replace $(NAME) by the value of a variable.
    return json.dumps(facts).replace("$", "\\u0024")


def _reference(container: Raw) -> str:
    image = container.get("image")
    return image if isinstance(image, str) else ""


def _resources(container: Raw, part: str) -> dict[str, str]:
    resources = container.get("resources")
    found = resources.get(part) if isinstance(resources, dict) else None
    if not isinstance(found, dict):
        return {}
    return {str(k)[:_MAX_CHARS]: str(v)[:_MAX_CHARS] for k, v in list(found.items())[:_MAX_RESOURCES]}


def _sources(sources: Any) -> list[str]:
    """Return the ConfigMaps and Secrets whose keys become variables, as ``configMap/<name>``."""
    kinds = (("configMapRef", "configMap"), ("secretRef", "secret"))
    each = [item for item in sources if isinstance(item, dict)] if isinstance(sources, list) else []
    return [
        f"{kind}/{item[key].get('name')}" for item in each for key, kind in kinds if isinstance(item.get(key), dict)
    ]


def _bounded(texts: Iterable[Any]) -> list[str]:
    """Return as many of the texts, without repetition and in their order, as a variable holds."""
    kept: list[str] = []
    left = _MAX_BYTES // 2
    for text in dict.fromkeys(str(each)[:_MAX_CHARS] for each in texts):
        left -= len(json.dumps(text)) + 2
        if left < 0 or len(kept) >= _MAX_VARIABLES:
            break
        kept.append(text)
    return kept
