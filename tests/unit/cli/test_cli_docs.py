"""docs/cli.md describes exactly the existing commands, options and exit codes."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli import app, errors
from assay.cli.app import all_commands

pytestmark = pytest.mark.unit

TEXT = (Path(__file__).resolve().parents[3] / "docs/cli.md").read_text()
HEADINGS = ["begin", *re.findall(r"^## (.*)$", TEXT, re.MULTILINE)]
SECTIONS = dict(zip(HEADINGS, re.split(r"^## .*$", TEXT, flags=re.MULTILINE), strict=True))
_OPTION = re.compile(r"(?<![\w-])(?:--[a-z][a-z-]*|-[a-zA-Z])(?![\w-])")
#: Of other programs: of training scripts, and of what a platform team types.
FOREIGN = {
    "--depth",
    "--learning-rate",
    "--user",
    "--from-literal",
    "--verb",
    "--resource",
    "--resource-name",
    "--role",
    "--group",
}


def _options(command: Any) -> set[frozenset[str]]:
    """Return the options of a command: the ways in which each can be spelled."""
    options = [each for each in command.params if each.param_type_name == "option"]
    return {frozenset(opts) for each in options for opts in (each.opts, each.secondary_opts) if opts}


COMMANDS = {f"assay {name}": _options(command) for name, command in all_commands().items()}
SHARED = set.intersection(*(options for options in COMMANDS.values() if frozenset({"--namespace", "-n"}) in options))


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert {name for name in SECTIONS if name.startswith("assay ")} == set(COMMANDS)
    for name in COMMANDS:
        assert f"(#{name.replace(' ', '-')})" in SECTIONS["begin"], name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_named_in_its_commands_section(name: str) -> None:
    named = set(_OPTION.findall(SECTIONS[name]))
    missing = [sorted(option) for option in COMMANDS[name] - SHARED if not option & named]
    assert not missing, f"docs/cli.md: {name} has {missing}, too"


@pytest.mark.parametrize("name", SECTIONS)
def test_all_options_in_the_docs_exist(name: str) -> None:
    known = {spelling for options in COMMANDS.values() for option in options for spelling in option}
    known |= FOREIGN | {"--help", "-h", "--version", "--install-completion", "--show-completion"}
    assert not set(_OPTION.findall(SECTIONS[name])) - known


def test_shared_options_are_those_of_the_table() -> None:
    named = set(_OPTION.findall(SECTIONS["Signing in"]))
    assert all(option & named for option in SHARED)


def test_exit_codes_in_the_docs_are_those_of_the_code() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.MULTILINE)}
    assert named == codes
    said = re.findall(r"Exit\s+codes?:?\s+([^.]*)", TEXT)
    assert {int(code) for text in said for code in re.findall(r"(?:^|; )(\d+)(?= )", text)} <= codes


@pytest.mark.parametrize("name", COMMANDS)
def test_formats_of_output_are_those_of_the_command(name: str) -> None:
    known = {"table", "wide", "json", "yaml", "csv", "parquet", "text", "dot", "mermaid", "experiment.yaml"}
    for said in re.findall(r"`?-o ((?:[a-z]+\\?\|)*[a-z]+)", SECTIONS[name]):
        assert set(said.replace("\\", "").split("|")) <= known, said


@pytest.mark.parametrize("row", app.COMMANDS, ids=lambda row: row.name)
def test_the_table_of_commands_has_the_first_line_of_each_docstring(row: app.Row) -> None:
    """`assay --help` prints the table without importing the commands."""
    text = import_module(f"assay.cli.{row.module}").command.__doc__ or ""
    assert text.splitlines()[0] == row.help
    assert row.module.rpartition(".")[2] == row.name.rpartition(" ")[2]


@pytest.mark.parametrize(("argv", "near"), [(("version",), "versions"), (("audit", "verfy"), "verify")])
def test_a_misspelled_command_gets_suggestions(argv: tuple[str, ...], near: str) -> None:
    answer = CliRunner().invoke(app.app, argv)
    assert answer.exit_code == errors.USAGE
    assert f"Did you mean '{near}'" in answer.output
