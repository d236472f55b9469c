"""How the recorder learns about the training environment: the image volume and the recorder's variables.

The image of the training container (the pod's first container) is mounted read-only into the recorder, which reads
the installed packages from it.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

from assay.api.objects import Raw

VOLUME = "assay-image"
FOLDER = "/image"
#: The default reason why no image is mounted.
NOT_ASKED = "image capture was not requested"
#: The record's maximum number of variables; their total size also fits into one environment variable.
_MAX_VARIABLES, _MAX_BYTES, _MAX_CHARS = 1000, 64 << 10, 256
_RECORDER = "assay-recorder"
#: Waiting reasons of a container that cannot be created. An image that cannot be pulled has other reasons.
_REFUSALS = ("CreateContainerError", "RunContainerError")
_MAX_RESOURCES = 32
_MAX_IMAGE = 1024
_GPU = re.compile(r"gpu|/(mig-|tpu|npu|gaudi|neuron|xpu)")

# Image volumes are enabled by default since Kubernetes 1.35, and require one of these runtimes.
_KUBELET = (1, 35)
_RUNTIMES = {"containerd": (2, 1), "cri-o": (1, 33)}


# Whether nodes can mount images


def why_not(nodes: Iterable[Raw]) -> str:
    """Return why pods cannot use image volumes on one of these raw nodes; "" when all Linux nodes support them."""
    found = False
    for node in nodes:
        info = (node.get("status") or {}).get("nodeInfo") or {}
        if info.get("operatingSystem", "linux") != "linux":
            continue
        found = True
        problem = _problem(str(info.get("kubeletVersion")), str(info.get("containerRuntimeVersion")))
        if problem:
            return f"node {node['metadata']['name']} {problem}"
    return "" if found else "the cluster has no Linux node yet"


def _problem(kubelet: str, runtime: str) -> str:
    if _version(kubelet) < _KUBELET:
        return f"has kubelet {kubelet}; image volumes require v1.35 or later"
    name, _, version = runtime.partition("://")
    if name not in _RUNTIMES:
        return f"has the runtime {runtime}, which is not known to support image volumes"
    needed = _RUNTIMES[name]
    if _version(version) < needed:
        return f"has {name} {version}; image volumes require {'.'.join(map(str, needed))} or later"
    return ""


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


# A pod that cannot be created


class PodLike(Protocol):
    """The fields of a pod that this module reads."""

    @property
    def waiting_reason(self) -> str: ...  # noqa: D102
    @property
    def waiting_message(self) -> str: ...  # noqa: D102


def refused(pods: Iterable[PodLike], message: str) -> str:
    """Return why a run's pods cannot be created with the image volume; "" when nothing indicates that.

    ``message`` is the Run's status message; it quotes an admission policy that refuses the volume.
    """
    for pod in pods:
        if pod.waiting_reason in _REFUSALS and pod.waiting_message.startswith(f"container {_RECORDER}: "):
            return f"the pod could not be created with the image volume: {pod.waiting_message}"[:1000]
    return f"the pod with the image volume was refused: {message}"[:1000] if f'"{VOLUME}"' in message else ""


def is_shown(pod: Raw) -> bool:
    """Whether a pod's spec mounts the training container's image for the recorder."""
    return any(volume.get("name") == VOLUME for volume in pod.get("volumes") or [])


# The pod


def training(pod: Raw) -> Raw:
    """Return the training container: the first one."""
    first: Raw = pod["containers"][0]
    return first


def volumes(pod: Raw) -> list[Raw]:
    """Return the volume with the image of the training container, with the same pull policy."""
    container = training(pod)
    if not _reference(container):
        return []
    policy = {"pullPolicy": container["imagePullPolicy"]} if container.get("imagePullPolicy") else {}
    return [{"name": VOLUME, "image": {"reference": _reference(container), **policy}}]


def mount() -> Raw:
    """Return the recorder's volume mount of the image."""
    return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}


def variables(pod: Raw, unseen: str) -> list[Raw]:
    """Return the recorder's environment variables. ``unseen`` says why the image is not mounted; "" when it is."""
    return [
        {"name": "ASSAY_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ASSAY_TRAINING", "value": told(pod, unseen)},
    ]


def told(pod: Raw, unseen: str) -> str:
    """Return the description of the training container for the recorder, as JSON. It has variable names, no values."""
    container = training(pod)
    requests, limits = (_resources(container, part) for part in ("requests", "limits"))
    # For extended resources the limit is also the request.
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
        facts["unseen"] = unseen or "the training container has no image"
    # The kubelet would expand $(NAME).
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
    """Return the ConfigMaps and Secrets of envFrom, as ``configMap/<name>`` or ``secret/<name>``."""
    kinds = (("configMapRef", "configMap"), ("secretRef", "secret"))
    each = [item for item in sources if isinstance(item, dict)] if isinstance(sources, list) else []
    return [
        f"{kind}/{item[key].get('name')}" for item in each for key, kind in kinds if isinstance(item.get(key), dict)
    ]


def _bounded(texts: Iterable[Any]) -> list[str]:
    """Return the first distinct texts, in order, that fit into one environment variable."""
    bounded: list[str] = []
    left = _MAX_BYTES // 2
    for text in dict.fromkeys(str(each)[:_MAX_CHARS] for each in texts):
        left -= len(json.dumps(text)) + 2
        if left < 0 or len(bounded) >= _MAX_VARIABLES:
            break
        bounded.append(text)
    return bounded
