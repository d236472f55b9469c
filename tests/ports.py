"""Ports for servers of the tests, such that several runs on one machine take different ones.

A port that the kernel picks is free again until the server binds it, and meanwhile the kernel may give it to anybody,
for a connection too. Ports below the kernel's range are given away by nobody but us: each is reserved by a lock that
the process holds as long as it lives.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 12_000, 31_999

#: Keeps the locks: they go with the process.
_reserved: list[int] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, and that no other caller gets while this process lives."""
    folder = Path(tempfile.gettempdir()) / "assay-test-ports"
    folder.mkdir(exist_ok=True)
    for _ in range(1000):
        port = random.SystemRandom().randint(FIRST, LAST)
        if _reserve(folder / str(port)) and _unused(port):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def _reserve(path: Path) -> bool:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _reserved.append(lock)
    return True


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
