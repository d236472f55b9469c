"""PostgreSQL, as Debian has it, with an empty database in a folder of its own."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

_USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


@contextlib.contextmanager
def serving(port: int) -> Iterator[str]:
    """Serve a new database on localhost; give its URI. Raises ClusterError if PostgreSQL is not installed."""
    programs = _programs()
    user = _user()
    with tempfile.TemporaryDirectory(prefix="assay-postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        initdb = [str(programs / "initdb"), "--pgdata", data, "--auth", "trust", "--username", "mlflow"]
        subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        command = [str(programs / "postgres"), "-D", data, "-k", folder, "-p", str(port), "-h", "127.0.0.1"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            ready = (programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
            wait_for("PostgreSQL", lambda: subprocess.run(ready).returncode == 0, saw=Path(folder, "log").read_text)
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # the fast shutdown
            process.wait(60)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise ClusterError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1]


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
