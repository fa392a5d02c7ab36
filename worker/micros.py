"""Instants as whole microseconds since 1970, of which cursors are made; and those of PostgreSQL."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros_of(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def instant_of_micros(text: str) -> datetime | None:
    """The inverse, from text; None when it is none, or an instant that no calendar has."""
    if not text.isdecimal():
        return None
    try:
        return _EPOCH + int(text) * _MICROSECOND
    except (OverflowError, ValueError):
        return None


def aware(at: datetime) -> datetime:
    """An instant from PostgreSQL.

    The first and the last that Python knows are infinite ones to asyncpg, which come back without
    a time zone.
    """
    return at if at.tzinfo else at.replace(tzinfo=UTC)
