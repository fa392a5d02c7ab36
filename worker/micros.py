"""Instants as whole microseconds since 1970: what cursors are made of."""

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
