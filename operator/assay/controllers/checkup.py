"""``python -m assay.controllers.checkup NAME:PORT``: check an installation; `helm test` runs it.

It queries the readiness endpoint of every operator behind the name, and tests the store operations that an operator
needs. It needs no Kubernetes permissions and writes nothing. ASSAY_STORE_* variables configure the store.
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

#: Seconds that a new installation may take to become ready.
PATIENCE = 20.0
_PAUSE = 1.0
_TIMEOUT = 10.0
_WORKS = "store"
_NOBODY = "00000000-0000-0000-0000-000000000000"


class Fault(Exception):
    """A check failed. The message tells the administrator what is wrong."""


def addresses(name: str, port: int) -> list[str]:
    """Return the addresses that the name resolves to. Raises Fault when there are none."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Fault(f"no operator found at {name}: {error}; check that its pod is running") from None
    return sorted({str(each[4][0]) for each in found})


def readiness(address: str, port: int) -> dict[str, str]:
    """Return an operator's readiness by check: "ok", or what is wrong. Raises Fault when it does not answer."""
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        text = connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Fault(f"the operator at {address} does not answer: {error or type(error).__name__}") from None
    finally:
        connection.close()
    return {part: result for part, _, result in (line.partition(": ") for line in text.splitlines())}


def check_operators(name: str, port: int) -> list[str]:
    """Return one line per operator. Raises Fault unless all are ready and one of them leads."""
    reported = {address: readiness(address, port) for address in addresses(name, port)}
    for address, checks in reported.items():
        for name_of_check, result in checks.items():
            if result != "ok":
                raise Fault(f"the operator at {address} is not ready: {name_of_check}: {result or 'not yet'}")
    if not any(_WORKS in checks for checks in reported.values()):
        raise Fault("no operator leads: all are waiting for the Lease; check who holds it")
    return [f"operator {address}: {', '.join(checks)} ok" for address, checks in reported.items()]


def check_store(environment: Mapping[str, str]) -> list[str]:
    """Return one line about the store. Raises Fault unless it answers and can issue credentials for runs."""
    try:
        config = StoreConfig.from_environment(environment)
        next(ObjectStore(config).list("runs/", page=1), None)
        issue_run_credentials(config, run_prefix("checkup", None, "checkup", _NOBODY))
    except (ConfigError, StoreError) as error:
        raise Fault(f"the store does not work: {error}") from None
    issued = "issues temporary credentials" if config.sts else "has static credentials for runs"
    return [f"store {config.endpoint}: bucket {config.bucket} answers, {issued}"]


def check(name: str, port: int, environment: Mapping[str, str], patience: float = PATIENCE) -> list[str]:
    """Return the report about a working installation. Raises the last Fault after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return check_operators(name, port) + check_store(environment)
        except Fault:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def main(argv: list[str]) -> int:
    """Check the installation and print the report. Return 0 if it works, 1 if not, 2 for invalid arguments."""
    name, _, port = argv[0].rpartition(":") if len(argv) == 1 else ("", "", "")
    if not name or not port.isdigit():
        sys.stderr.write("usage: python -m assay.controllers.checkup NAME:PORT\n")
        return 2
    try:
        report = check(name, int(port), os.environ)
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.stdout.write("\n".join(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
