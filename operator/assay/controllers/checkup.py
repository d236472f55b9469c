"""``python -m assay.controllers.checkup NAME:PORT``: whether an installation works; `helm test` runs it.

It asks each operator that has the name what it says of itself, and the store for what an operator needs. It needs no
rights in Kubernetes and writes nothing. The store is configured by the operator's own ASSAY_STORE_* variables.
"""

import http.client
import os
import socket
import sys
import time
from collections.abc import Mapping

from assay.store.client import ObjectStore
from assay.store.config import ConfigError, StoreConfig
from assay.store.credentials import issue_run_credentials
from assay.store.errors import StoreError
from assay.store.layout import run_prefix

#: How long an installation may take that has just been made.
PATIENCE = 20.0
_PAUSE = 1.0
_TIMEOUT = 10.0
_WORKS = "store"
_NOBODY = "00000000-0000-0000-0000-000000000000"


class Fault(Exception):
    """Something does not work. The message says what, for who has installed it."""


def addresses(name: str, port: int) -> list[str]:
    """Return the addresses that have a name. Raises Fault when there are none."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Fault(f"no operator has the name {name}: {error}; is its pod running?") from None
    return sorted({str(each[4][0]) for each in found})


def readiness(address: str, port: int) -> dict[str, str]:
    """Return what an operator says of its parts: "ok", or what is wrong. Raises Fault when nobody answers."""
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        text = connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Fault(f"the operator at {address} does not answer: {error or type(error).__name__}") from None
    finally:
        connection.close()
    return {part: said for part, _, said in (line.partition(": ") for line in text.splitlines())}


def check_operators(name: str, port: int) -> list[str]:
    """Return what is to be told of the operators. Raises Fault unless all are well, and one of them works."""
    said = {address: readiness(address, port) for address in addresses(name, port)}
    for address, parts in said.items():
        for part, what in parts.items():
            if what != "ok":
                raise Fault(f"the operator at {address} is not ready: {part}: {what or 'not yet'}")
    if not any(_WORKS in parts for parts in said.values()):
        raise Fault("no operator works: each waits for the Lease, which somebody else may hold")
    return [f"operator {address}: {', '.join(parts)} ok" for address, parts in said.items()]


def check_store(environment: Mapping[str, str]) -> list[str]:
    """Return what is to be told of the store. Raises Fault unless it answers, and issues credentials for runs."""
    try:
        config = StoreConfig.from_environment(environment)
        next(ObjectStore(config).list("runs/", page=1), None)
        issue_run_credentials(config, run_prefix("checkup", None, "checkup", _NOBODY))
    except (ConfigError, StoreError) as error:
        raise Fault(f"the store: {error}") from None
    issued = "issues temporary credentials" if config.sts else "has static credentials for runs"
    return [f"store {config.endpoint}: bucket {config.bucket} answers, {issued}"]


def check(name: str, port: int, environment: Mapping[str, str], patience: float = PATIENCE) -> list[str]:
    """Return what is to be told of an installation that works. Raises the last Fault when it does not in time."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return check_operators(name, port) + check_store(environment)
        except Fault:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def main(argv: list[str]) -> int:
    """Check, and tell: 0 when it works, 1 when it does not, 2 for a wrong call."""
    name, _, port = argv[0].rpartition(":") if len(argv) == 1 else ("", "", "")
    if not name or not port.isdigit():
        sys.stderr.write("usage: python -m assay.controllers.checkup NAME:PORT\n")
        return 2
    try:
        told = check(name, int(port), os.environ)
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.stdout.write("\n".join(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
