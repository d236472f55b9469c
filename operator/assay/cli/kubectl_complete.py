"""`kubectl_complete-assay`: what kubectl asks when somebody completes `kubectl assay …`.

kubectl gives the words behind `kubectl assay`, the one at the cursor last, and reads candidates, one a line with a
description behind a tab, and at the end a directive of cobra's: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

import os
import shlex
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO

_FILES_TOO, _NO_FILES = ":0", ":4"


def main() -> int:
    """Print the candidates for the words of the command line."""
    *words, last = sys.argv[1:] or [""]
    # What is said to fish is, but for the directive, what kubectl wants to hear.
    os.environ |= {
        "_ASSAY_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(['assay', *words])} {shlex.quote(last) if last else ''}",
    }
    from assay.cli.app import app

    with redirect_stdout(StringIO()) as said, suppress(SystemExit):
        app(prog_name="assay")
    candidates = [line for line in said.getvalue().splitlines() if line]
    sys.stdout.write("\n".join([*candidates, _NO_FILES if candidates else _FILES_TOO]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
