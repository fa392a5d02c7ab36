"""Endings that a job chooses, and what it may find out about itself."""

from datetime import timedelta


class Outcome(Exception):  # noqa: N818 - chosen endings, not errors
    """Base of what a job raises to end its attempt without having failed."""


class Cancel(Outcome):
    """There is nothing (more) to do. Recorded with the reason; no alarm, no retry."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Snooze(Outcome):
    """Not yet. The run comes back after `delay` (timedelta, or seconds); no attempt is spent."""

    def __init__(self, delay: timedelta | float, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        self.reason = reason
        if self.delay <= timedelta(0):
            raise ValueError("Snooze: the delay is more than nothing")


class RateLimited(Snooze):
    """The service has had enough (429). The run comes back after `delay`, and until then none
    starts that has one of its rate limits' keys; no attempt is spent.
    """
