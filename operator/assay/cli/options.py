"""The options that all commands share, as kubectl has them, and how a function becomes a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from assay.cli import completion
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


def command(app: typer.Typer, name: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of the app. It is given a Session before its own arguments."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
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
        app.command(name, **more)(run)
        return function

    return decorate
