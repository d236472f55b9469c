"""Every `assay` command in a code block of the documentation and of the examples can be typed as it is shown."""

import re
import shlex
from collections.abc import Iterator

import pytest

from assay.cli.app import all_commands
from tests.cluster.paths import CHECKOUT

pytestmark = pytest.mark.unit

PAGES = sorted([CHECKOUT / "README.md", *CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("examples/**/*.md")])
COMMANDS = all_commands()
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: A prompt and variables may come before the command.
_TYPED = re.compile(r"^ *(?:\w*\$ )?(?:[A-Z_]+=\S+ )*assay (.*)$", re.MULTILINE)
_OPERATORS = frozenset("|>&;()<")


def typed() -> Iterator[tuple[str, str]]:
    """Yield each page and command once."""
    for page in PAGES:
        found = (text for language, text in _BLOCK.findall(page.read_text()) if language in ("", "sh", "console"))
        blocks = "\n".join(found).replace("\\\n", " ")
        for command in sorted(set(_TYPED.findall(blocks))):
            yield str(page.relative_to(CHECKOUT)), command


def words(command: str) -> list[str]:
    """Return the arguments, without a comment and without what the shell does with the output."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found = list(lexer)
    return found[: next((at for at, word in enumerate(found) if set(word) <= _OPERATORS), len(found))]


@pytest.mark.parametrize(("page", "command"), sorted(set(typed())))
def test_a_command_in_a_page_exists_with_its_options(page: str, command: str) -> None:
    argv = words(command)
    if argv[0] == "-n":
        argv = argv[2:]
    if argv[0].startswith("--"):
        return
    name = " ".join(argv[:2]) if " ".join(argv[:2]) in COMMANDS else argv[0]
    assert name in COMMANDS, f"{page}: there is no command `assay {name}`"
    COMMANDS[name].make_context(name, argv[len(name.split()) :])


def test_pages_with_commands_are_found() -> None:
    assert len(list(typed())) > 50
