"""What a cluster leaves behind when its processes are gone, and its removal."""

import contextlib
import shutil
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.spec import Spec


def clean(folder: Path) -> None:
    """Remove what outlives the processes of the cluster in `folder`, none of which may be alive."""
    with contextlib.suppress(FileNotFoundError):
        cgroups.remove(Spec.load(folder).cgroup)
    shutil.rmtree(folder, ignore_errors=True)
