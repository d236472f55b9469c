"""The current time in the format of the records."""

from datetime import UTC, datetime


def now() -> str:
    """The current time as RFC 3339 text in UTC with seconds, like the Kubernetes API."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
