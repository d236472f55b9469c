"""Running `assay` for a test: in this process, which saves its start, or as a process of its own.

In process, a command gets what a process gets: its own environment, folder, arguments and standard streams. It is the
program's own entry point that runs. Threads share all of these, so a command that runs beside the test is a process.
"""

import contextlib
import gc
import io
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "assay")
#: For what a command or a shell takes on the busiest machine. Nothing is shown by how long it takes.
TIMEOUT_SECONDS = 300
_CLEARED = ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "FORCE_COLOR", "NO_COLOR", "PYTHONDONTWRITEBYTECODE")

#: Exit code, standard output, standard error.
Ended = tuple[int, str, str]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what names a cluster or a store, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in _CLEARED and "ASSAY_" not in name}
    return {**kept, **more}


def as_process(argv: Sequence[str], environment: Mapping[str, str], stdin: str, cwd: Path | None) -> Ended:
    """Run the installed program."""
    done = subprocess.run(
        [PROGRAM, *argv],
        env=environment_with(environment),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


def in_process(argv: Sequence[str], environment: Mapping[str, str], stdin: str, cwd: Path | None) -> Ended:
    """Call the program's entry point; in a thread other than the main one, run the program instead."""
    if threading.current_thread() is not threading.main_thread():
        return as_process(argv, environment, stdin, cwd)
    from assay.cli.__main__ import main

    with _own_process(argv, environment_with(environment), cwd), _own_streams(stdin) as (out, err):
        try:
            code = main()
        except Exception:
            traceback.print_exc()
            code = 1
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return code, _text(out), _text(err)


def _text(stream: io.BytesIO) -> str:
    """Return what was written, with the newlines that a pipe in text mode would give."""
    return io.TextIOWrapper(io.BytesIO(stream.getvalue()), encoding="utf-8").read()


@contextlib.contextmanager
def _own_process(argv: Sequence[str], environment: Mapping[str, str], cwd: Path | None) -> Iterator[None]:
    """Give a command its arguments, environment and folder, and undo what it changed of the process."""
    saved, arguments, collecting = dict(os.environ), sys.argv, gc.isenabled()
    _replace_environment(environment)
    sys.argv = [PROGRAM, *argv]
    try:
        with contextlib.chdir(cwd or Path.cwd()):
            yield
    finally:
        sys.argv = arguments
        _replace_environment(saved)
        if collecting:
            gc.enable()


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update(environment)


@contextlib.contextmanager
def _own_streams(stdin: str) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Give a command pipes, as it were: bytes behind text, and no terminal."""
    out, err = io.BytesIO(), io.BytesIO()
    saved = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    sys.stdout, sys.stderr = (io.TextIOWrapper(each, encoding="utf-8", write_through=True) for each in (out, err))
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        yield out, err
    finally:
        sys.stdin, sys.stdout, sys.stderr = saved
        for stream in streams:
            with contextlib.suppress(ValueError):  # detached by the command
                stream.flush()
                stream.detach()
