"""The table of commands. A new command is a module with a function ``command`` and a row here.

A command's module is imported when the command runs, so that `assay --help` stays fast. `assay --help` lists the
commands in the order of the table.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from assay import __version__
from assay.cli.options import add, before_the_command


class Row(NamedTuple):
    """One command: its name, "GROUP NAME" in a group; its module below ``assay.cli``; the first line of its help."""

    name: str
    module: str
    help: str
    #: Whether it needs a cluster, and so has the options that select one.
    session: bool = True


COMMANDS: Final = (
    Row("init", "manifests.init", "Write an Experiment for the training script in this folder.", session=False),
    Row(
        "validate",
        "manifests.validate",
        "Check manifests offline, as the API server and the operator would. Exit code 6 if any is invalid.",
        session=False,
    ),
    Row("experiments", "runs.experiments", "List experiments with their progress and best run."),
    Row("runs", "runs.runs", "List runs with their parameters and metrics."),
    Row(
        "show",
        "runs.show",
        "Show one run: why it failed or waits, its spec, conditions, warnings, and the end of its log.",
    ),
    Row("compare", "runs.compare", "Compare runs side by side: parameters, metrics and other fields that differ."),
    Row("curves", "runs.curves", "Draw the curves of metrics."),
    Row("diff", "runs.diff", "Show every field in which two runs differ. Exit code 0 if none differs, 6 otherwise."),
    Row(
        "rerun",
        "runs.rerun",
        "Repeat a run from its recipe. With --wait, exit code 0: reproduced; 1: failed; 6: not reproduced.",
    ),
    Row("logs", "runs.logs", "Print the log of a run: from its pod while it exists, otherwise from the store."),
    Row("suspend", "runs.suspend", "Suspend an experiment: stop its runs, and launch no others, until it is resumed."),
    Row("resume", "runs.resume", "Resume a suspended experiment."),
    Row("stop", "runs.stop", "Stop a run and keep what it recorded. It ends as Failed with the reason JobDeleted."),
    Row("tag", "runs.tag", "Tag a run with labels. Filter by them with --where 'labels.key == \"value\"'."),
    Row("note", "runs.note", "Write a note about a run."),
    Row("watch", "runs.watch", "Watch an experiment until it ends. Exit code 0: it succeeded; 1: it failed."),
    Row("top", "runs.top", "List running runs, with node, progress and resource usage."),
    Row("models", "models.models", "List models and the versions that their aliases point to."),
    Row("versions", "models.versions", "List the versions of a model, newest first."),
    Row(
        "why", "models.why", "Explain which requirements the version of an alias meets. Exit code 6 if one is not met."
    ),
    Row("register", "models.register", "Register the model of a run as a version."),
    Row("approve", "models.approve", "Compare a version with the live one, ask for confirmation, and approve it."),
    Row("revoke", "models.revoke", "Revoke an approval."),
    Row("promote", "models.promote", "Point an alias to a version, and wait until it is live and served."),
    Row(
        "rollback",
        "models.rollback",
        "Roll an alias back to a version that was live before. This needs no approval.",
    ),
    Row("artifacts ls", "artifacts.ls", "List the files of a run or a version."),
    Row("artifacts get", "artifacts.get", "Download files or folders of a run or a version, and verify them."),
    Row(
        "artifacts verify",
        "artifacts.verify",
        "Compare every byte in the store with the manifest. Exit code 6 if anything differs.",
    ),
    Row(
        "pull",
        "artifacts.pull",
        "Download a version, or the live version of an alias: verified, all files or none.",
    ),
    Row(
        "lineage",
        "audit.lineage",
        "Show the lineage of a workload, alias, version or run, down to code, image and data.",
    ),
    Row(
        "history",
        "audit.history",
        "Show which versions an alias pointed to, who moved it and who approved, from the audit trail.",
    ),
    Row(
        "audit verify",
        "audit.verify",
        "Prove that no record of the audit trail is missing or altered. Exit code 6 if that fails.",
    ),
    Row("audit list", "audit.list", "List the records of the audit trail."),
    Row(
        "audit export",
        "audit.export",
        "Export the audit trail byte for byte, for auditors without access to the store.",
    ),
    Row(
        "export",
        "manifests.export",
        "Print a self-contained manifest of a version, for another cluster's Git repository.",
    ),
    Row("ui", "web.ui", "Open runs, curves and models in the browser, with your own kubeconfig and rights."),
    Row(
        "restore",
        "manifests.restore",
        "Restore policies, versions and aliases from the store and the audit trail, after confirmation.",
    ),
)
GROUPS: Final = {
    "artifacts": "Files of a run or a version: list, get, verify.",
    "audit": "The audit trail: verify, list, export.",
}


class Commands(TyperGroup):
    """A group that takes names and help from the table, and imports only the command that is called.

    Typer bundles its own click and does not export its types: hence ``Any``.
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

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name. Typer suggests similar names for a wrong one from ``commands``."""
        names: dict[str, Any] = dict.fromkeys(self.list_commands(ctx))
        self.commands = names
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names and the help of each."""
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
    help="Track experiments, compare runs, and approve and promote models, with your own kubeconfig and rights.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text like kubectl; importing rich takes time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def all_commands() -> dict[str, Any]:
    """Return every command by its full name, such as "audit verify"; imports all of them."""
    return {row.name: _command(row, row.name.rpartition(" ")[2]) for row in COMMANDS}


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
@before_the_command
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
