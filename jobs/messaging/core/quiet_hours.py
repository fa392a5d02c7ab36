"""When nobody's telephone is to ring."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def quiet_until(
    now: datetime, *, zone: ZoneInfo, quiet_from: time, quiet_to: time
) -> datetime | None:
    """The instant (UTC) until which a message waits; None when it may be sent now.

    `now` is aware. The hours are the recipient's wall clock; they may go over midnight, and there
    are none when they begin as they end.

    >>> night = {"zone": ZoneInfo("Europe/Istanbul"), "quiet_from": time(21), "quiet_to": time(8)}
    >>> quiet_until(datetime(2026, 11, 30, 19, 30, tzinfo=UTC), **night)
    datetime.datetime(2026, 12, 1, 5, 0, tzinfo=datetime.timezone.utc)
    >>> quiet_until(datetime(2026, 11, 30, 9, 0, tzinfo=UTC), **night)
    """
    local = now.astimezone(zone)
    clock = local.time()
    if quiet_from <= quiet_to:
        if not quiet_from <= clock < quiet_to:
            return None
        ends_on = local.date()
    else:
        if quiet_to <= clock < quiet_from:
            return None
        ends_on = local.date() + timedelta(days=1 if clock >= quiet_from else 0)
    ends = datetime.combine(ends_on, quiet_to, tzinfo=zone)
    # Where clocks go back, this time of day comes twice, and the first may be over.
    first, second = (ends.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if second < first:
        return _change_between(second, first, zone)
    return first if first > now else second


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """When clocks go forward, to the minute: over times of day that never come."""
    offset, at = before.astimezone(zone).utcoffset(), before
    while at < after and at.astimezone(zone).utcoffset() == offset:
        at += timedelta(minutes=1)
    return at
