"""When a notice opens, is told again, and is over. Pure: from what is known to what is true now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from worker.notices.notice import Change, Fresh, Kind, Notice, Told

LOOKS: Final = 2  # in a row, before a queue is told of: a burst is no trouble
CALM: Final = timedelta(minutes=5)  # below the lower threshold, before it is said to be over
LOWER: Final = 0.8  # of the threshold: what goes up and down around it is one trouble
STALE: Final = timedelta(minutes=5)  # looks that lie further apart are not in a row
LONGEST: Final = timedelta(days=1)  # between two reminders
NEVER: Final = -1  # a threshold that no value is over
FORGOTTEN: Final = timedelta(days=7)  # without a run: a schedule that was removed succeeds no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds; 0: never. `repeat` is the first time between two reminders, and then doubles."""

    failures: int = 5
    window: timedelta = timedelta(minutes=15)
    scheduled: int = 1
    waiting: int = 100
    waiting_by_queue: Mapping[str, int] = field(default_factory=dict)
    unserved: bool = True
    repeat: timedelta = timedelta(hours=1)

    def most_waiting(self, queue: str) -> int:
        return self.waiting_by_queue.get(queue, self.waiting)


def subject_of(job: str, error_type: str) -> str:
    return f"{job} {error_type}"


def with_failures(
    notice: Notice | None, fresh: Fresh, rules: Rules, now: datetime
) -> tuple[Notice | None, Change | None]:
    """The notice of this kind of failure, if there is one now, and what is to be told of it."""
    if notice is None:
        is_repeated = 0 < rules.failures <= fresh.in_window
        is_scheduled = 0 < rules.scheduled <= fresh.scheduled
        if not (is_repeated or is_scheduled):
            return None, None
        count = max(fresh.in_window, fresh.failures)
        opened = Notice(
            kind="failures",
            subject=subject_of(fresh.job, fresh.error_type),
            queue=fresh.queue,
            job=fresh.job,
            error_type=fresh.error_type,
            count=count,
            most=count,
            dead=fresh.dead,
            threshold=rules.failures if is_repeated else rules.scheduled,
            is_scheduled=is_scheduled,
            run_ids=fresh.run_ids,
            first_at=min(fresh.since, fresh.first_at),
            last_at=fresh.last_at,
            noted_at=now,
            opened_at=now,
        )
        return opened, "opened"
    count = notice.count + fresh.failures
    grown = replace(
        notice,
        queue=fresh.queue,
        count=count,
        most=count,
        dead=notice.dead + fresh.dead,
        is_scheduled=notice.is_scheduled or 0 < rules.scheduled <= fresh.scheduled,
        run_ids=fresh.run_ids or notice.run_ids,
        last_at=max(notice.last_at, fresh.last_at),
        noted_at=now,
    )
    return grown, "ongoing" if _is_due(grown, now) else None


def are_over(notice: Notice, rules: Rules, now: datetime, *, has_succeeded: bool) -> bool:
    """Are these failures over? `has_succeeded`: a run of the job did, since the last of them."""
    silence = now - notice.noted_at
    if notice.is_scheduled:
        return has_succeeded or silence >= FORGOTTEN
    return silence >= rules.window


def with_value(
    notice: Notice | None, kind: Kind, queue: str, value: int, threshold: int, now: datetime
) -> tuple[Notice | None, Change | None]:
    """The notice of a queue, which None forgets, and what is to be told of it.

    A threshold of 0 is crossed by any value, one below it by none.
    """
    is_high = 0 <= threshold < value
    if notice is None or notice.opened_at is None:
        return _suspected(notice, kind, queue, value, threshold, now) if is_high else (None, None)
    is_low = threshold < 0 or value <= threshold * LOWER
    if is_low and now - notice.noted_at >= CALM:
        return replace(notice, count=value, closed_at=now), "closed"
    known = replace(
        notice,
        count=value,
        most=max(notice.most, value),
        threshold=max(threshold, 0),
        noted_at=notice.noted_at if is_low else now,
        last_at=notice.last_at if is_low else now,
    )
    # Between the two thresholds it is not over, and "more than" would not be true.
    return known, "ongoing" if is_high and _is_due(known, now) else None


def _suspected(
    notice: Notice | None, kind: Kind, queue: str, value: int, threshold: int, now: datetime
) -> tuple[Notice, Change | None]:
    if notice is None or now - notice.noted_at > STALE:
        return Notice(
            kind=kind,
            subject=queue,
            queue=queue,
            count=value,
            most=value,
            threshold=threshold,
            first_at=now,
            last_at=now,
            noted_at=now,
            notice_id=None if notice is None else notice.notice_id,
        ), None
    again = replace(
        notice,
        count=value,
        most=max(notice.most, value),
        threshold=threshold,
        looks=notice.looks + 1,
        noted_at=now,
        last_at=now,
    )
    return (replace(again, opened_at=now), "opened") if again.looks >= LOOKS else (again, None)


def told(notice: Notice, change: Change, rules: Rules, now: datetime) -> Told:
    """The notice as it is once this has been told of it."""
    wait = min(rules.repeat * 2 ** min(notice.edition, 10), LONGEST)
    known = replace(
        notice,
        edition=notice.edition + 1,
        told_at=now,
        told_count=notice.count,
        tell_at=now + wait,
    )
    return Told(known, change, max(notice.count - notice.told_count, 0))


def _is_due(notice: Notice, now: datetime) -> bool:
    return notice.tell_at is not None and now >= notice.tell_at
