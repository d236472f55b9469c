"""Running one program to its end. A failure becomes a ClusterError that quotes what the program said."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError


def run(
    *argv: str | Path,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    timeout: float = 120,
) -> str:
    """Run `argv` and return its standard output. Raises ClusterError when it fails or exceeds `timeout` s."""
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=environment,
            pass_fds=pass_fds,
            timeout=timeout,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]} is not installed (try `python -m tests.cluster packages`)") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(command)}` was not done after {timeout:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ClusterError(f"`{' '.join(command)}` failed with exit code {done.returncode}: {said}")
    return done.stdout
