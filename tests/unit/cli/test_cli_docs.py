"""docs/cli.md names every command, every option of it and every exit code, and none that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from assay.cli import errors
from assay.cli.app import app

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


def _commands(group: object, path: str = "assay") -> Iterator[tuple[str, set[frozenset[str]]]]:
    """Yield each command with its options: the ways in which each can be spelled."""
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
            continue
        options = [each for each in command.params if each.param_type_name == "option"]
        yield (
            f"{path} {name}",
            {frozenset(opts) for each in options for opts in (each.opts, each.secondary_opts) if opts},
        )


COMMANDS = dict(_commands(typer.main.get_command(app)))
SHARED = set.intersection(*(options for options in COMMANDS.values() if frozenset({"--namespace", "-n"}) in options))


def test_every_command_has_a_section_and_no_other_has_one() -> None:
    assert {name for name in SECTIONS if name.startswith("assay ")} == set(COMMANDS)
    for name in COMMANDS:
        assert f"(#{name.replace(' ', '-')})" in SECTIONS["begin"], name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_named_in_its_commands_section(name: str) -> None:
    named = set(_OPTION.findall(SECTIONS[name]))
    missing = [sorted(option) for option in COMMANDS[name] - SHARED if not option & named]
    assert not missing, f"docs/cli.md: {name} has {missing}, too"


@pytest.mark.parametrize("name", SECTIONS)
def test_no_option_is_named_that_does_not_exist(name: str) -> None:
    known = {spelling for options in COMMANDS.values() for option in options for spelling in option}
    known |= FOREIGN | {"--help", "-h", "--version", "--install-completion", "--show-completion"}
    assert not set(_OPTION.findall(SECTIONS[name])) - known


def test_shared_options_are_those_of_the_table() -> None:
    named = set(_OPTION.findall(SECTIONS["Signing in"]))
    assert all(option & named for option in SHARED)


def test_exit_codes_are_those_that_commands_have() -> None:
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
