"""Writes manifests as YAML that all parsers read alike, with remarks that cannot break out of comments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from assay.store.restore.manifests import Restored

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_ENDLESS = 1 << 30


class _Dumper(yaml.SafeDumper):
    """Quotes every text that some YAML parsers read as a number: 12e34 is a string to one and a float to another."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def write(restored: Restored, remarks: Iterable[str]) -> str:
    """One YAML document per manifest. `remarks` and the list of left-out objects are comments at the top."""
    left_out = [f"left out: {each}" for each in restored.left_out]
    parts = [_comments([*remarks, *left_out])]
    for manifest, about in restored.manifests:
        parts.append("---\n" + _comments(about) + _yaml(manifest))
    return "".join(parts)


def _comments(lines: Iterable[str]) -> str:
    # Names and reasons are untrusted: every kind of line break becomes a space.
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def _yaml(manifest: dict[str, Any]) -> str:
    dumped: str = yaml.dump(
        manifest, Dumper=_Dumper, sort_keys=False, width=_ENDLESS, allow_unicode=True, default_flow_style=False
    )
    return dumped
