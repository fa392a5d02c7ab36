"""Time that stands still until a test moves it."""

from datetime import datetime, timedelta

from worker.clock import utc_now


class Clock:
    """Stands at `now`, an aware datetime (this instant, unless given). Call it for the time."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = utc_now() if now is None else _aware(now)
        self.moved = timedelta(0)  # in all

    def __call__(self) -> datetime:
        return self._now

    def move(self, by: timedelta | None = None, **parts: float) -> datetime:
        """On by `timedelta(…)`, or by its parts: `clock.move(hours=1)`. Raises ValueError.

        What waits for its time on a rig's queues comes due as if the time had passed.
        """
        step = (by or timedelta(0)) + timedelta(**parts)
        if step < timedelta(0):
            raise ValueError("a clock does not go back: make another one")
        self._now += step
        self.moved += step
        return self._now

    def move_to(self, instant: datetime) -> datetime:
        """On to an aware datetime. Raises ValueError when it is past."""
        return self.move(_aware(instant) - self._now)


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("a clock needs an aware datetime: datetime(…, tzinfo=UTC)")
    return instant
