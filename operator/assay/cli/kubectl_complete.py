"""`kubectl_complete-assay`: kubectl calls it to complete `kubectl assay …`.

kubectl passes the words after `kubectl assay`, ending with the one at the cursor. It reads one candidate per line, with
a description after a tab, and finally a directive of cobra: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
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
    # Typer's output for fish has the format that kubectl expects, except for the directive.
    os.environ |= {
        "_ASSAY_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(['assay', *words])} {shlex.quote(last) if last else ''}",
    }
    from assay.cli.app import app

    with redirect_stdout(StringIO()) as output, suppress(SystemExit):
        app(prog_name="assay")
    candidates = [line for line in output.getvalue().splitlines() if line]
    sys.stdout.write("\n".join([*candidates, _NO_FILES if candidates else _FILES_TOO]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
