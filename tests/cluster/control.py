"""How one talks to a cluster's supervisor: a JSON line each way over a socket in the cluster's folder."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

SOCKET = "control.sock"


def listen(folder: Path) -> socket.socket:
    """The supervisor's end."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / SOCKET))
    server.listen()
    return server


def request(folder: Path, timeout: float = 90, **words: Any) -> None:
    """Ask the supervisor of the cluster in `folder` for something. Raises ClusterError with its answer."""
    handle = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout)
            # A path of any length, in the 108 characters that a socket's may have.
            client.connect(f"/proc/self/fd/{handle}/{SOCKET}")
            client.sendall(json.dumps(words).encode() + b"\n")
            answer = client.makefile().readline()
    except OSError as error:
        raise ClusterError(f"the supervisor of the cluster in {folder} does not answer: {error}") from error
    finally:
        os.close(handle)
    problem = json.loads(answer or '"the supervisor ended"')
    if problem:
        raise ClusterError(problem)


def answer(server: socket.socket, do: Any) -> None:
    """Take one request and answer it with what `do(**words)` raises, or with "" when it returns."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(5)
        try:
            words = json.loads(connection.makefile().readline())
            do(**words)
            problem = ""
        except Exception as error:
            problem = str(error) or repr(error)
        connection.sendall(json.dumps(problem).encode() + b"\n")
