"""`assay ui`: the web application for one user, on this machine."""

from __future__ import annotations

import webbrowser
from importlib.util import find_spec
from typing import Annotated

import typer

from assay.cli.errors import USAGE, CliError
from assay.cli.output import printing
from assay.cli.session import Session


def command(
    session: Session,
    experiment: Annotated[str, typer.Argument(help="Experiment whose page opens. Default: the runs.")] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the address in a browser.")] = True,
) -> None:
    """Open runs, curves and models in the browser, with your own kubeconfig and rights."""
    if not all(find_spec(name) for name in ("starlette", "uvicorn", "numpy", "jinja2")):
        hint = "pip install 'assay[cli,server]'"
        raise CliError("assay ui needs packages that are not installed", hint=hint, code=USAGE)
    from assay.server.local import serve

    opened = not browser

    def announce(address: str) -> None:
        nonlocal opened
        printing.note(
            f"open {address} (Ctrl-C ends)" if not opened or not browser else f"for another browser: {address}"
        )
        if not opened:
            opened = True
            webbrowser.open(address)

    serve(session.kube, session.namespace, port, announce, experiment)
