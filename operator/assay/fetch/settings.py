"""Settings that the operator passes in the environment of the init container that fetches a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.fetch.errors import SettingsError
from assay.store import layout

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Settings:
    """What to fetch, and the destination. `manifest_digest` is "" if only the model's digest is known.

    `directory` is the final folder of the model's files. It must be inside a volume and not its root, because it
    appears by a rename. Requests are retried until the store has not answered for `retry_seconds`.
    """

    prefix: str
    digest: str
    manifest_digest: str
    directory: Path
    credentials: Path
    retry_seconds: float = 120.0
    workers: int = 4

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the ASSAY_* variables. Raises SettingsError."""
        prefix = required(env, "ASSAY_FETCH_PREFIX").rstrip("/")
        try:
            layout.parse_model_prefix(prefix)
        except ValueError as error:
            raise SettingsError(f"ASSAY_FETCH_PREFIX: {error}") from None
        directory = Path(required(env, "ASSAY_FETCH_DIR"))
        if not directory.is_absolute() or ".." in directory.parts or directory == Path("/") or directory.is_mount():
            raise SettingsError(f"ASSAY_FETCH_DIR is {str(directory)!r}: it must be a folder inside a volume")
        manifest_digest = env.get("ASSAY_FETCH_MANIFEST_DIGEST", "").strip()
        return cls(
            prefix=prefix,
            digest=digest("ASSAY_FETCH_DIGEST", required(env, "ASSAY_FETCH_DIGEST")),
            manifest_digest=digest("ASSAY_FETCH_MANIFEST_DIGEST", manifest_digest) if manifest_digest else "",
            directory=directory,
            credentials=Path(env.get("ASSAY_CREDENTIALS") or "/var/run/assay/store/credentials.json"),
            retry_seconds=number(env, "ASSAY_FETCH_RETRY_SECONDS", 120, 1, 86_400),
            workers=number(env, "ASSAY_FETCH_WORKERS", 4, 1, 16),
        )


def required(env: Mapping[str, str], name: str) -> str:
    """The value of a required variable. Raises SettingsError."""
    value = env.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def digest(name: str, value: str) -> str:
    """Validate a digest and return it. Raises SettingsError."""
    if not _DIGEST.fullmatch(value):
        raise SettingsError(f"{name} is {value[:100]!r}: it must be sha256: and 64 hexadecimal digits")
    return value


def number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """The value of an integer variable between `low` and `high`. Raises SettingsError."""
    text = env.get(name, "").strip() or str(default)
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not low <= value <= high:
        raise SettingsError(f"{name} is {text!r}: it must be a number from {low} to {high}")
    return value
