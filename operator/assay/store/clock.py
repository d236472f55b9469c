"""The present time as the records write it."""

from datetime import UTC, datetime


def now() -> str:
    """RFC 3339 in UTC, to the second, as the Kubernetes API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
