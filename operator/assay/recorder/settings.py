"""Settings that the operator passes to the recorder through the environment of its container."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.store import layout
from assay.store.limits import MAX_FILES, MAX_RUN_BYTES, MAX_RUN_FILES


class SettingsError(ValueError):
    """A variable is missing or invalid. The message names it."""


@dataclass(frozen=True)
class Settings:
    """Paths, intervals and limits of the recorder. Sizes in bytes, times in seconds."""

    pod: str
    prefix: str
    directory: Path
    spool: Path
    credentials: Path
    #: Where the pod mounts the training container's image, and the operator's description of that container.
    image: Path = Path("/image")
    training: str = ""
    node: str = ""
    #: `spec.collect` of the Run: which sources are read besides the default ones.
    collect: Mapping[str, Any] = field(default_factory=dict)
    #: The metrics that an objective or an expression needs. They are summarised in any case.
    metrics: tuple[str, ...] = ()
    flush_seconds: float = 3.0
    part_bytes: int = 4 << 20
    settle_seconds: float = 5.0
    grace_seconds: float = 30.0
    #: The seconds that are left of the grace period, for the standby; None: all of it.
    left_seconds: float | None = None
    #: Maximum number and total bytes of recorded artifacts.
    max_files: int = MAX_RUN_FILES
    max_bytes: int = MAX_RUN_BYTES

    @property
    def finish_seconds(self) -> float:
        """Time limit for the end: the pod's grace period minus a margin to report that it was too short."""
        left = self.grace_seconds if self.left_seconds is None else self.left_seconds
        return left - min(5.0, max(0.5, 0.1 * left))

    @property
    def upload_seconds(self) -> float:
        """Time limit for artifacts at the end: enough is left to write a manifest that names what is missing."""
        return self.finish_seconds - min(5.0, 0.25 * self.finish_seconds)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the ASSAY_* variables. Raises SettingsError."""
        prefix = _required(env, "ASSAY_PREFIX").rstrip("/")
        try:
            layout.parse_intake_prefix(prefix)
        except ValueError as error:
            raise SettingsError(f"ASSAY_PREFIX: {error}") from None
        return cls(
            pod=_required(env, "ASSAY_POD"),
            prefix=prefix,
            directory=Path(env.get("ASSAY_DIR") or "/assay"),
            spool=Path(env.get("ASSAY_SPOOL") or "/var/lib/assay"),
            credentials=Path(env.get("ASSAY_CREDENTIALS") or "/var/run/assay/store/credentials.json"),
            image=Path(env.get("ASSAY_IMAGE_FOLDER") or "/image"),
            training=env.get("ASSAY_TRAINING", ""),
            node=env.get("ASSAY_NODE", ""),
            collect=_json(env, "ASSAY_COLLECT", {}),
            metrics=tuple(_json(env, "ASSAY_METRICS", [])),
            flush_seconds=_number(env, "ASSAY_FLUSH_SECONDS", 3.0, 0.05, 3600),
            part_bytes=int(_number(env, "ASSAY_PART_BYTES", 4 << 20, 1024, 64 << 20)),
            settle_seconds=_number(env, "ASSAY_SETTLE_SECONDS", 5.0, 0.05, 3600),
            grace_seconds=_number(env, "ASSAY_GRACE_SECONDS", 30.0, 1, 7 * 86400),
            max_files=int(_number(env, "ASSAY_MAX_FILES", MAX_RUN_FILES, 1, MAX_FILES)),
            max_bytes=int(_number(env, "ASSAY_MAX_BYTES", MAX_RUN_BYTES, 1, 1 << 60)),
        )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _json(env: Mapping[str, str], name: str, default: Any) -> Any:
    """Return a value in JSON of the same type as the default."""
    try:
        found = json.loads(env.get(name) or "null")
    except ValueError:
        found = ...
    if found is None:
        return default
    if not isinstance(found, type(default)):
        raise SettingsError(f"{name} is not a JSON {'object' if isinstance(default, dict) else 'list'}")
    return found


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise SettingsError(f"{name} is {text!r}: it must be a number from {low:g} to {high:g}")
    return value
