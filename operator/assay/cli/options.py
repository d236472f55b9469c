"""The options that all commands share, named like those of kubectl, and the registration of commands."""

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
            help="Namespace. Default: that of the context.",
        ),
    ],
    "context": Annotated[
        str, typer.Option("--context", autocompletion=completion.contexts, help="Context of the kubeconfig.")
    ],
    "kubeconfig": Annotated[str, typer.Option("--kubeconfig", help="Kubeconfig file. Default: KUBECONFIG.")],
    "as_user": Annotated[str, typer.Option("--as", help="Impersonate this user.")],
}
_GROUPS = Annotated[list[str] | None, typer.Option("--as-group", help="Impersonate this group; can be repeated.")]


#: Output formats of a list, and of a single answer.
Table = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]
Text = Annotated[Document, typer.Option("--output", "-o", help="Output format.")]
#: The object of a command.
Model = Annotated[str, typer.Argument(help="Model.", autocompletion=completion.models)]
Alias = Annotated[str, typer.Argument(help="Alias, such as champion.")]
VersionName = Annotated[
    str, typer.Argument(help="Version, such as digits.v24.", metavar="VERSION", autocompletion=completion.versions)
]
ForAlias = Annotated[str, typer.Option("--for", help="Alias that the approval is for, such as champion.")]
RunOrVersion = Annotated[
    str,
    typer.Argument(
        metavar="RUN|VERSION",
        autocompletion=completion.runs_and_versions,
        help="Run, version or alias: digits-3, digits.v24, models:/digits@champion.",
    ),
]
#: Several runs at once.
Experiment = Annotated[
    str,
    typer.Option("--experiment", "-e", help="Runs of this experiment.", autocompletion=completion.experiments),
]
Top = Annotated[int | None, typer.Option("--top", min=1, help="Only the N best runs by their objective, best first.")]
#: Where to read the audit trail from, and how to write.
Source = Annotated[
    Path | None,
    typer.Option("--from", help="Read an exported file or folder instead of the store.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Have the API server check the request, but write nothing.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Reason; it is recorded.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is live and served.")]
Timeout = Annotated[str, typer.Option("--timeout", help="Maximum time to wait, such as 90s or 1h; 0 for no limit.")]


def add(app: typer.Typer, name: str, function: Callable[..., None], *, session: bool = True) -> None:
    """Register a function as a command of the app; with ``session`` its first argument is a Session."""
    if not session:
        app.command(name)(function)
        return

    @wraps(function)
    def run(*, ctx: typer.Context, **arguments: Any) -> None:
        before = ctx.find_root().params
        shared = {key: arguments.pop(key) or before.get(key) or "" for key in _SHARED}
        groups = tuple(arguments.pop("as_groups") or before.get("as_groups") or ())
        function(Session(**shared, as_groups=groups), **arguments)

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    _sign(run, [context, *list(inspect.signature(function, eval_str=True).parameters.values())[1:]])
    app.command(name)(run)


def before_the_command(function: Callable[..., None]) -> Callable[..., None]:
    """Return the callback of the whole program with the shared options: `assay -n demo runs`, like kubectl."""

    @wraps(function)
    def run(**arguments: Any) -> None:
        function(**{key: value for key, value in arguments.items() if key not in _SHARED and key != "as_groups"})

    _sign(run, list(inspect.signature(function, eval_str=True).parameters.values()))
    return run


def _sign(run: Callable[..., None], own: list[inspect.Parameter]) -> None:
    """Give a function its own parameters and the shared ones, as typer reads them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(key, keyword, default="", annotation=kind) for key, kind in _SHARED.items()]
    shared.append(inspect.Parameter("as_groups", keyword, default=None, annotation=_GROUPS))
    signature = inspect.Signature([*(each.replace(kind=keyword) for each in own), *shared])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
