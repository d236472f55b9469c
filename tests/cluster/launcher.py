"""The parent of a cluster's first process. It stays in the host's namespaces.

    python -m tests.cluster.launcher <folder> <logs> <pipe or -1>

It makes the child that becomes process 1 of the cluster, waits for its end, and removes what the kernel
does not remove by itself: cgroups and the folder. The arguments are those of `supervisor.inside`.
"""

import os
import signal
import sys
from pathlib import Path

from tests.cluster import isolation, remains, supervisor


def launch(folder: Path, logs: Path, pipe: int) -> int:
    """Make process 1, wait for its end, clean up. Returns the exit code."""
    isolation.unshare(isolation.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        isolation.die_with_parent()
        try:
            supervisor.inside(folder, logs, pipe)
        except BaseException as error:
            print(f"supervisor: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if pipe >= 0:
        os.close(pipe)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    (folder / "pid").write_text(str(child))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        # The owner still wants to read why; it cleans up.
        return 1
    remains.clean(folder)
    return 0


if __name__ == "__main__":
    sys.exit(launch(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
