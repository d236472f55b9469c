"""The options that all commands share, as kubectl has them, and how a function becomes a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli import completion
from assay.cli.output.printing import Document, Format
from assay.cli.session import Session

_SHARED = {
    "namespace_option": Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            autocompletion=completion.namespaces,
            help="Namespace; that of the context if left out.",
        ),
    ],
    "context": Annotated[
        str, typer.Option("--context", autocompletion=completion.contexts, help="Context of the kubeconfig.")
    ],
    "kubeconfig": Annotated[str, typer.Option("--kubeconfig", help="The kubeconfig file; KUBECONFIG if left out.")],
    "as_user": Annotated[str, typer.Option("--as", help="Act as this user.")],
}
_GROUPS = Annotated[list[str] | None, typer.Option("--as-group", help="… and as a member of this group.")]


#: How a list, and how one answer is printed.
Table = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]
Text = Annotated[Document, typer.Option("--output", "-o", help="Output format.")]
#: What a command is about.
Model = Annotated[str, typer.Argument(help="The model.", autocompletion=completion.models)]
Alias = Annotated[str, typer.Argument(help="The alias, such as champion.")]
VersionName = Annotated[
    str, typer.Argument(help="The version, such as digits.v24.", metavar="VERSION", autocompletion=completion.versions)
]
ForAlias = Annotated[str, typer.Option("--for", help="The alias that the approval is for, such as champion.")]
RunOrVersion = Annotated[
    str,
    typer.Argument(
        metavar="RUN|VERSION",
        autocompletion=completion.runs_and_versions,
        help="A run, a version or an alias: digits-3, digits.v24, models:/digits@champion.",
    ),
]
#: Where a trail is read from, and how something is written.
Source = Annotated[
    Path | None,
    typer.Option("--from", help="Read an exported file or folder instead of the store.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Let the API server check the request; write nothing.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Reason; it is recorded.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is live and served.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, such as 90s or 1h; 0 for no limit.")]


def add(app: typer.Typer, name: str, function: Callable[..., None], *, session: bool = True) -> None:
    """Make a function a command of the app; with ``session`` it gets a Session before its own arguments."""
    if not session:
        app.command(name)(function)
        return

    @wraps(function)
    def run(**arguments: Any) -> None:
        shared = {key: arguments.pop(key) for key in _SHARED}
        groups = tuple(arguments.pop("as_groups") or ())
        function(Session(**shared, as_groups=groups), **arguments)

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(key, keyword, default="", annotation=kind) for key, kind in _SHARED.items()]
    shared.append(inspect.Parameter("as_groups", keyword, default=None, annotation=_GROUPS))
    signature = inspect.Signature([each.replace(kind=keyword) for each in own] + shared)
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app.command(name)(run)
