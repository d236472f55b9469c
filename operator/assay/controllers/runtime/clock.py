"""The time that reconcilers write into objects."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time in UTC to the second, the precision of Kubernetes' times."""
    return datetime.now(UTC).replace(microsecond=0)
