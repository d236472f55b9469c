"""The entry point of `assay` and `kubectl assay`: runs one command and turns errors into messages and exit codes."""

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

from assay.api.errors import AssayError
from assay.cli.errors import FAILED, FORBIDDEN, INTERRUPTED, NO, NOT_FOUND, OK, UNREACHABLE, CliError, exit_code

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> int:
    """Run the command line and return its exit code."""
    _open_what_is_closed()
    _replace_what_a_console_lacks()
    try:
        return _run()
    except OSError as error:  # the output could not be flushed, as on a full disk
        _discard_the_rest()
        return _report(error)


def _run() -> int:
    from assay.cli.app import app

    try:
        app(prog_name=_program())
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED
        # The library's own answer to a closed pipe is exit code 1.
        return OK if _closed_pipe() else code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _closed_pipe()
        return OK
    except Exception as error:
        return OK if _closed_pipe() else _report(error)
    _closed_pipe()
    return OK


def _open_what_is_closed() -> None:
    """Use /dev/null for each standard stream that the caller has closed, as in `assay why digits.champion >&- 2>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open until the process ends


def _replace_what_a_console_lacks() -> None:
    """Print a question mark for each character that the encoding of a console lacks, such as ASCII or cp1252."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _closed_pipe() -> bool:
    """Write out what is left. Whether the reader closed the pipe, such as `head -1`: that is no error."""
    stream = getattr(sys.stdout, "wrapped", sys.stdout)
    try:
        stream.flush()
    except BrokenPipeError:
        _discard_the_rest()
        return True
    except ValueError:
        return False
    return stream is not sys.stdout


def _discard_the_rest() -> None:
    """Write nothing more to the standard output, not even when the interpreter flushes it at exit."""
    stream = getattr(sys.stdout, "wrapped", sys.stdout)
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _program() -> str:
    """Return the name of the program as the user typed it, for `--help`."""
    return "kubectl assay" if Path(sys.argv[0]).name.startswith("kubectl-assay") else "assay"


def _report(error: Exception) -> int:
    from assay.cli.output.printing import note

    known = error if isinstance(error, AssayError) else _store_error(error) or _connection_error(error)
    known = known or _file_error(error)
    if known is None and os.environ.get("ASSAY_DEBUG"):
        raise error
    known = known or CliError(
        f"{type(error).__name__}: {error}", hint="this is a bug in assay: set ASSAY_DEBUG=1 to see the traceback"
    )
    with suppress(OSError):  # a closed or full stream must not change the exit code
        note(f"error: {known.message}" + (f"\n  {known.hint}" if known.hint else ""))
    return exit_code(known)


def _store_error(error: Exception) -> CliError | None:
    if "assay.store.errors" not in sys.modules:
        return None
    from assay.store.errors import NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable

    if isinstance(error, StoreUnavailable):
        hint = "check that it is up and reachable from this machine; ASSAY_STORE_ENDPOINT sets another address"
        return CliError(f"the store is unavailable: {error}", hint=hint, code=UNREACHABLE)
    if isinstance(error, StoreDenied):
        return CliError(
            f"the store denied access: {error}",
            hint="your keys for the store may not read this, or have expired",
            code=FORBIDDEN,
        )
    if isinstance(error, NotFound):
        return CliError(str(error), code=NOT_FOUND)
    if isinstance(error, RecordError):
        return CliError(str(error), hint="the data in the store differs from what was recorded", code=NO)
    return CliError(str(error)) if isinstance(error, StoreError) else None


def _connection_error(error: Exception) -> CliError | None:
    if "urllib3" not in sys.modules:
        return None
    from urllib3.exceptions import HTTPError

    hint = "try again"
    known = isinstance(error, HTTPError)
    return CliError(f"the connection to the API server broke: {error}", hint=hint, code=UNREACHABLE) if known else None


def _file_error(error: Exception) -> CliError | None:
    if not isinstance(error, OSError):
        return None
    if error.filename is not None:
        return CliError(f"cannot read or write {error.filename}: {error.strerror}")
    return CliError(f"cannot write the output: {error.strerror}") if error.errno in _NO_SPACE else None


if __name__ == "__main__":
    sys.exit(main())
