"""The commands, put together. Their order is that of `assay --help`."""

from typing import Annotated

import typer

from assay import __version__
from assay.cli.commands import artifacts, auditing, manifests, recovery, registry, runs, tracking

app = typer.Typer(
    name="assay",
    help="Experiments, runs, models and who approved what: with your own kubeconfig and rights.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text, as kubectl prints it; and rich takes time to import
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _part in (manifests, runs, tracking, registry, artifacts, auditing, recovery):
    _part.register(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass
