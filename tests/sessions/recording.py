"""What was played as a document, and what stands in such a document."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.sessions.day import DAY, Played

_HEAD = """\
# A working day

Follow a model through one day with `assay`: train and compare, approve, deploy and roll back, audit. Four people take
part, each with only [a role of the chart](personas.md) and with keys that can only read the store ([how to make
them](cli.md#the-store)). One version of the model `digits` is live when the day begins.

`python -m tests.sessions docs/working-day.md` recorded these terminals on a real cluster with Assay as the chart
installs it. A test replays the same day.
"""
#: A prompt is a name and a dollar sign; a command goes on below it when its line ends with a backslash.
_TYPED = re.compile(r"^\w+\$ ((?:.*\\\n)*.*)$", re.MULTILINE)


def written(played: Iterable[Played], home: Path) -> str:
    """Return the document of a day. `home` is the folder that must not be named in it."""
    screens = {each.step: each for each in played}
    parts = [_HEAD]
    for part in DAY:
        parts.append(f"## {part.title}\n\n{_wrapped(part.prose)}\n")
        for step in part.steps:
            parts += [f"{_wrapped(step.prose)}\n"] if step.prose else []
            parts.append(_block(screens[step], home))
    return "\n".join(parts)


def _wrapped(prose: str) -> str:
    return textwrap.fill(prose, 120, break_on_hyphens=False)


def _block(played: Played, home: Path) -> str:
    screen = played.screen.replace(str(home / played.step.person), "~")
    lines = [f"{played.step.person}$ {played.command}", *([screen] if screen else [])]
    code = f"\nThe exit code is {played.code}.\n" if played.code else ""
    return "```console\n" + "\n".join(lines) + "\n```\n" + code


def parsed(document: str) -> list[tuple[str, str]]:
    """Return the commands of a document as they were typed, each with the screen below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    return [(found[1], block[found.end() :].strip("\n")) for block in blocks if (found := _TYPED.match(block))]
