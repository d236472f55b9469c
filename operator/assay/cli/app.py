"""The table of commands. A new command is a module with a function ``command`` and a row here.

A command's module is imported when the command runs, so that `assay --help` stays quick. The order is that of
`assay --help`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from assay import __version__
from assay.cli.options import add


class Row(NamedTuple):
    """One command: its name, "GROUP NAME" in a group; its module below ``assay.cli``; the first line of its help."""

    name: str
    module: str
    help: str
    #: Whether it needs a cluster, and so has the options that say which.
    session: bool = True


COMMANDS: Final = (
    Row("init", "manifests.init", "Write an Experiment for the training script in this folder.", session=False),
    Row(
        "validate",
        "manifests.validate",
        "Check manifests offline, as the API server and the operator would. Exit code 6: something is wrong.",
        session=False,
    ),
    Row("runs", "runs.runs", "List runs with their parameters and metrics."),
    Row("compare", "runs.compare", "Show runs side by side: what differs of their parameters, metrics and the rest."),
    Row("curves", "runs.curves", "Draw the curves of metrics."),
    Row("diff", "runs.diff", "Show every field in which two runs differ. Exit code 0: in none; 6: in some."),
    Row(
        "rerun",
        "runs.rerun",
        "Do a run again, from its recipe. With --wait exit code 0: the same; 1: it failed; 6: not the same.",
    ),
    Row("logs", "runs.logs", "Print what a run has printed: from its pod while there is one, else from the store."),
    Row("watch", "runs.watch", "Watch an experiment until it ends. Exit code 0: it has succeeded; 1: it has failed."),
    Row("top", "runs.top", "List the runs that go on: where, how far, and what they use."),
    Row("models", "models.models", "List models, with what their aliases point to."),
    Row("versions", "models.versions", "List the versions of a model, the newest first."),
    Row("why", "models.why", "Say what an alias's version needs, met or not; exit code 6 when something is missing."),
    Row("approve", "models.approve", "Show a version beside the one that is live, ask, and approve it."),
    Row("revoke", "models.revoke", "Take an approval away."),
    Row("promote", "models.promote", "Point an alias to a version, and wait until that is live and served."),
    Row(
        "rollback",
        "models.rollback",
        "Take an alias back to a version that it has pointed to before; that needs no approval.",
    ),
    Row("artifacts ls", "artifacts.ls", "List the files."),
    Row(
        "artifacts get", "artifacts.get", "Get files or whole folders; each is verified, and appears when it is whole."
    ),
    Row(
        "artifacts verify",
        "artifacts.verify",
        "Compare every byte in the store with what was recorded. Exit code 6: it differs.",
    ),
    Row(
        "pull",
        "artifacts.pull",
        "Pull the files of a version, or of the one that is live under an alias: verified, all or nothing.",
    ),
    Row("lineage", "audit.lineage", "Show what something comes from, down to code, image and data."),
    Row(
        "history",
        "audit.history",
        "Show what an alias has pointed to, who moved it and who had approved, from the audit trail.",
    ),
    Row(
        "audit verify",
        "audit.verify",
        "Prove that no record of the trail is missing or altered; exit code 6 if it cannot be proven.",
    ),
    Row("audit list", "audit.list", "List the records of the trail."),
    Row(
        "audit export",
        "audit.export",
        "Write the trail's very bytes to a file, for auditors without access to the store.",
    ),
    Row(
        "export",
        "manifests.export",
        "Print a self-contained manifest of a version for another cluster's Git repository.",
    ),
    Row(
        "restore",
        "manifests.restore",
        "Make policies, versions and aliases again from the store and the audit trail; shows and asks first.",
    ),
)
GROUPS: Final = {
    "artifacts": "Files of a run or a version: list, get, verify.",
    "audit": "The audit trail: verify, list, export.",
}


class Commands(TyperGroup):
    """A group that knows its commands' names and help from the table, and imports the one that is called.

    Typer carries its own click, whose types it does not export: hence ``Any``.
    """

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the table."""
        return list(self._helps())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, importing its module; None for a name that is not in the table."""
        if not self.prefix and cmd_name in GROUPS:
            return _group(cmd_name)
        row = next((row for row in COMMANDS if row.name == self.prefix + cmd_name), None)
        return _command(row, cmd_name) if row else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names and what each does."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._helps().items()))

    def _helps(self) -> dict[str, str]:
        found = {}
        for row in COMMANDS:
            if row.name.startswith(self.prefix):
                first, group, _ = row.name.removeprefix(self.prefix).partition(" ")
                found[first] = GROUPS[first] if group else row.help
        return found


def _command(row: Row, name: str) -> Any:
    part = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    add(part, name, import_module(f"assay.cli.{row.module}").command, session=row.session)
    return typer.main.get_command(part)


def _group(name: str) -> Any:
    kind = type("Group", (Commands,), {"prefix": f"{name} "})
    return kind(name=name, help=GROUPS[name], no_args_is_help=True, rich_markup_mode=None)


app = typer.Typer(
    name="assay",
    cls=Commands,
    help="Experiments, runs, models and who approved what: with your own kubeconfig and rights.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text, as kubectl prints it; and rich takes time to import
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def all_commands() -> dict[str, Any]:
    """Return every command by its full name, such as "audit verify"; imports all of them."""
    return {row.name: _command(row, row.name.rpartition(" ")[2]) for row in COMMANDS}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
