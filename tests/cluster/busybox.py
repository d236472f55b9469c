"""A small image for tests of the cluster itself: Debian's static busybox, a shell with the usual commands."""

import subprocess
from pathlib import Path

from tests.cluster import oci, paths
from tests.cluster.errors import ClusterError

IMAGE = "localhost/busybox:assay"
PROGRAM = Path("/bin/busybox")


def archive() -> Path:
    """The image as an OCI archive, made when it is missing."""
    path = paths.cache() / "images" / "busybox.tar"
    if not PROGRAM.exists():
        raise ClusterError("busybox is missing: `apt-get install busybox-static`")
    if not path.exists() or path.stat().st_mtime < PROGRAM.stat().st_mtime:
        path.parent.mkdir(parents=True, exist_ok=True)
        listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout.split()
        links = {f"bin/{name}": "busybox" for name in listed if name != "busybox"}
        draft = path.with_suffix(".new")
        oci.write_image(draft, IMAGE, {"bin/busybox": PROGRAM}, links, ["/bin/sh"])
        draft.replace(path)
    return path
