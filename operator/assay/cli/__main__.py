"""`assay` and `kubectl assay`: runs one command, and turns every failure into one line and an exit code."""

import os
import sys
from pathlib import Path

from assay.api.errors import AssayError
from assay.cli.errors import FAILED, FORBIDDEN, INTERRUPTED, NO, NOT_FOUND, UNREACHABLE, CliError, exit_code


def main() -> int:
    """Run the command line and return its exit code."""
    from assay.cli.app import app

    try:
        app(prog_name=_called())
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing more may be written, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _complain(error)
    return 0


def _called() -> str:
    """What people have typed, which `--help` shows."""
    return "kubectl assay" if Path(sys.argv[0]).name.startswith("kubectl-assay") else "assay"


def _complain(error: Exception) -> int:
    from assay.cli.output.printing import note

    known = error if isinstance(error, AssayError) else _of_store(error) or _of_connection(error)
    if known is None:
        if os.environ.get("ASSAY_DEBUG"):
            raise error
        note(f"error: {type(error).__name__}: {error}\n  this is a defect of assay; ASSAY_DEBUG=1 shows where it is")
        return FAILED
    note(f"error: {known.message}" + (f"\n  {known.hint}" if known.hint else ""))
    return exit_code(known)


def _of_store(error: Exception) -> CliError | None:
    if "assay.store.errors" not in sys.modules:
        return None
    from assay.store.errors import NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable

    if isinstance(error, StoreUnavailable):
        return CliError(f"the store cannot be reached: {error}", hint="is its address right?", code=UNREACHABLE)
    if isinstance(error, StoreDenied):
        return CliError(f"the store refuses: {error}", hint="your keys may not read this", code=FORBIDDEN)
    if isinstance(error, NotFound):
        return CliError(str(error), code=NOT_FOUND)
    if isinstance(error, RecordError):
        return CliError(str(error), hint="what lies in the store is not what was recorded", code=NO)
    return CliError(str(error)) if isinstance(error, StoreError) else None


def _of_connection(error: Exception) -> CliError | None:
    if "urllib3" not in sys.modules:
        return None
    from urllib3.exceptions import HTTPError

    hint = "try again"
    known = isinstance(error, HTTPError)
    return CliError(f"the API server's answer broke off: {error}", hint=hint, code=UNREACHABLE) if known else None


if __name__ == "__main__":
    sys.exit(main())
