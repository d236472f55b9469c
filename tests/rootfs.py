"""What is in an image's archive, and its programs run on this machine in the image's own file system.

They run as in a pod of Assay: as user 65532 without any capability, on a root file system that nobody can write,
with one writable folder at `VOLUME`. No container runtime takes part, so a process here is one child and its usage
is its own. Needs root.
"""

import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = 65532
VOLUME = "/mnt"
_ENTER = f"""\
mount --bind "$0" "$0" && mount --bind "$1" "$0{VOLUME}" && mount -o remount,bind,ro "$0" || exit 125
root=$0; shift; exec chroot --userspec={USER}:{USER} --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Archive:
    """A docker-archive: its configuration, and its layers' members from the base upwards."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return self._json("manifest.json")[0]

    @property
    def config(self) -> dict[str, Any]:
        return self._json(self.manifest["Config"])

    def layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.path) as archive:
            for name in self.manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                    yield layer

    def files(self) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
        for layer in self.layers():
            for member in layer:
                yield "/" + member.name.removeprefix("./").rstrip("/"), member, layer

    def _json(self, name: str) -> Any:
        with tarfile.open(self.path) as archive:
            return json.load(archive.extractfile(name))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Unpacked:
    """An image's files in a folder, and the environment that it sets."""

    root: Path
    environment: Mapping[str, str]

    def start(
        self, argv: Sequence[str], volume: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a program of the image. Both of its outputs are in `stdout`."""
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, str(self.root), str(volume)]
        return subprocess.Popen(
            [*inside, *argv],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def unpack(archive: Path, root: Path) -> Unpacked:
    """Unpack all layers into `root`, an empty folder."""
    image = Archive(archive)
    for layer in image.layers():
        layer.extractall(root, numeric_owner=True, filter="fully_trusted")
    root.chmod(0o755)  # `/` of the programs
    environment = dict(line.split("=", 1) for line in image.config["config"]["Env"])
    return Unpacked(root, {"HOME": "/", **environment})  # where runtimes put a user that no file knows
