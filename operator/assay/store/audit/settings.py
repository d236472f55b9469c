"""Reads the trail's bucket and the retention of its records from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from assay.store.client import ObjectStore
from assay.store.config import ConfigError, StoreConfig

MAX_RETENTION_DAYS = 36_500


@dataclass(frozen=True)
class AuditSettings:
    """An empty `bucket` is the store's bucket. `retention` is how long a new record is locked; None means no lock.

    A bucket with object lock keeps every version of every object, and runs overwrite their summary every few
    seconds. Use a separate bucket for a locked trail.
    """

    bucket: str = ""
    retention: timedelta | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AuditSettings:
        """Read ASSAY_AUDIT_BUCKET and ASSAY_AUDIT_RETENTION_DAYS (0: no lock). Raises ConfigError."""
        text = environment.get("ASSAY_AUDIT_RETENTION_DAYS", "").strip() or "0"
        days = int(text) if text.isascii() and text.isdigit() else -1
        if not 0 <= days <= MAX_RETENTION_DAYS:
            raise ConfigError(
                f"ASSAY_AUDIT_RETENTION_DAYS is {text!r}: it must be a number of days, 0 to {MAX_RETENTION_DAYS}"
            )
        bucket = environment.get("ASSAY_AUDIT_BUCKET", "").strip()
        return cls(bucket, timedelta(days=days) if days else None)

    def store(self, config: StoreConfig) -> ObjectStore:
        """Return a client for the trail's bucket."""
        return ObjectStore(replace(config, bucket=self.bucket or config.bucket))
