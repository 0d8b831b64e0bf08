"""The time of day, as every document of the system writes it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present, to the microsecond, in UTC."""
    return datetime.now(UTC)
