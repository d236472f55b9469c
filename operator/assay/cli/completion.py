"""Shell completion of names from the cluster: fast, limited, and silent about errors.

Each function is an ``autocompletion=`` callback; the options before the cursor select the cluster and namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import typer

from assay.api import resources
from assay.api.resources import Resource
from assay.cli.session import Session
from assay.kube.shallow import loads

_SECONDS = 2.0
_LIMIT = 2000
#: Only names are needed, and objects may be large.
_NAMES = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Complete = Callable[[typer.Context, str], list[str]]


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runs in the cluster."""
    return _matching(incomplete, _names(ctx, resources.RUNS))


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Experiments."""
    return _matching(incomplete, _names(ctx, resources.EXPERIMENTS))


def versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Versions of models: digits.v24."""
    return _matching(incomplete, _names(ctx, resources.MODEL_VERSIONS))


def aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Aliases of models: digits.champion."""
    return _matching(incomplete, _names(ctx, resources.MODEL_ALIASES))


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Models that have versions: digits."""
    return _matching(incomplete, {name.rpartition(".v")[0] for name in _names(ctx, resources.MODEL_VERSIONS)})


def versions_and_aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Versions and aliases, in the notation that the user began: digits.v24 or models:/digits/24."""
    return _matching(incomplete, [_notation(name, incomplete) for name in _references(ctx)])


def runs_and_versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Everything that has files in the store: runs, versions, aliases."""
    found = [*_names(ctx, resources.RUNS), *(_notation(name, incomplete) for name in _references(ctx))]
    return _matching(incomplete, found)


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Namespaces, if the user may list them."""
    return _matching(incomplete, _names(ctx, resources.NAMESPACES, everywhere=True))


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    with suppress(Exception):
        from assay.kube import kubeconfig

        return _matching(incomplete, kubeconfig.contexts(ctx.params.get("kubeconfig") or ""))
    return []


def _references(ctx: typer.Context) -> list[str]:
    return [*_names(ctx, resources.MODEL_VERSIONS), *_names(ctx, resources.MODEL_ALIASES)]


def _notation(name: str, incomplete: str) -> str:
    """Return a version or an alias in the notation that the user began."""
    prefix = "models:/" if incomplete.startswith("models:") else ""
    if not prefix and "/" not in incomplete and "@" not in incomplete:
        return name
    model, _, rest = name.partition(".")
    if rest.startswith("v") and rest[1:].isdecimal():
        return f"{prefix}{model}/{rest[1:]}"
    return f"{prefix}{model}@{rest}"


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _names(ctx: typer.Context, resource: Resource, *, everywhere: bool = False) -> list[str]:
    """Return the first names of a kind; none if the cluster does not answer in time."""
    # An error message would garble the line that the user is typing.
    with suppress(Exception):
        import urllib3

        session = _session(ctx)
        path = resources.path(resource, "" if everywhere else session.namespace)
        wait = urllib3.Timeout(total=_SECONDS)
        with session.kube.stream("GET", path, query={"limit": str(_LIMIT)}, accept=_NAMES, timeout=wait) as answer:
            return [each["metadata"]["name"] for each in loads(answer.read())["items"]]
    return []


def _session(ctx: typer.Context) -> Session:
    before = ctx.find_root().params  # options before the command
    typed = {**before, **{key: value for key, value in ctx.params.items() if value}}
    return Session(
        kubeconfig=typed.get("kubeconfig") or "",
        context=typed.get("context") or "",
        namespace_option=typed.get("namespace_option") or "",
        as_user=typed.get("as_user") or "",
        as_groups=tuple(typed.get("as_groups") or ()),
    )
