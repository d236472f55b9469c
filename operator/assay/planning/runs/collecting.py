"""What spec.collect adds to a run's pod: the folder of TensorBoard's event files, which the recorder reads. Pure."""

from typing import Any

from assay.api.objects import Raw

VOLUME = "assay-tensorboard"
#: Where the recorder mounts it; as in assay.recorder.collectors.tensorboard.
FOLDER = "/tensorboard"
VARIABLE = "ASSAY_TENSORBOARD"


def folder_of(run: Raw) -> str:
    """Return the folder with event files that the spec names, without a trailing slash; "" if it names none."""
    tensorboard = (run["spec"].get("collect") or {}).get("tensorboard") or {}
    return "/" + str(tensorboard["path"]).strip("/") if tensorboard.get("path") else ""


def share_folder(pod: Raw, folder: str, shared: str) -> None:
    """Let the recorder and its standby, the first two init containers, read a folder of the training containers.

    ``shared`` is a folder that all of them have at the same path. If a container mounts a volume at or above the
    folder, that volume is used; otherwise every training container gets a new one there.
    """
    recorders = pod["initContainers"][:2]
    inside = folder
    if folder != shared and not folder.startswith(f"{shared}/"):
        mount = _mount_of(pod, folder)
        if mount is None:
            mount = {"name": VOLUME, "mountPath": folder}
            pod["volumes"].append({"name": VOLUME, "emptyDir": {}})
            for container in pod["containers"]:
                container["volumeMounts"].append({"name": VOLUME, "mountPath": folder})
        kept: Raw = {key: mount[key] for key in ("name", "subPath") if key in mount}
        for container in recorders:
            container["volumeMounts"].append({**kept, "mountPath": FOLDER, "readOnly": True})
        inside = FOLDER + folder.removeprefix(str(mount["mountPath"]).rstrip("/"))
    for container in recorders:
        container["env"].append({"name": VARIABLE, "value": inside})


def _mount_of(pod: Raw, folder: str) -> dict[str, Any] | None:
    """Return the deepest mount at or above a folder in a training container; None if there is none."""
    mounts = [mount for container in pod["containers"] for mount in container.get("volumeMounts") or []]
    above = [mount for mount in mounts if f"{folder}/".startswith(str(mount.get("mountPath", "")).rstrip("/") + "/")]
    return max(above, key=lambda mount: len(str(mount["mountPath"])), default=None)
