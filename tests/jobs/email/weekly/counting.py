"""The weekly numbers once more, the slow way: row by row, day by day, as a person would count."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobs.email.core.weeks import Week
from tests.jobs.email.weekly.history import History, Row, day_there, over_everywhere_at

_WORKED_ON = {"draft", "in_progress", "in_review", "approved"}
_OVER = {"won", "lost", "withdrawn"}


@dataclass(frozen=True)
class Calendar:
    """The days of the week, and of the one after, on the user's wall."""

    week: Week
    zone: ZoneInfo

    def days(self, start: int) -> set[date]:
        return {self.week.first_on + timedelta(days=start + number) for number in range(7)}

    def was_last_week(self, at: datetime) -> bool:
        return day_there(at, self.zone) in self.days(0)

    def is_due_next(self, due_at: datetime | None, due_on: date | None) -> bool:
        day = day_there(due_at, self.zone) if due_at is not None else due_on
        return day in self.days(7)


def count(history: History, week: Week, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    """What `WeekFacts` says, as plain numbers."""
    calendar = Calendar(week, zone)
    posted = [one for one in history.notices if one["posted_on"] in calendar.days(0)]
    closing = [
        one
        for one in history.notices
        if _is_open(one, now)
        and calendar.is_due_next(one["response_due_at"], one["response_due_on"])
    ]
    mine = [one for one in history.proposals if one["proposal_id"] in history.mine]
    changes = [one for one in history.changes if calendar.was_last_week(one["changed_at"])]
    since = {
        one["proposal_id"]
        for one in history.changes
        if day_there(one["changed_at"], zone) >= week.first_on
    }
    return {
        "posted": len(posted),
        "still_open": sum(_is_open(one, now) for one in posted),
        "closing": len(closing),
        "statuses": Counter(
            one["status"]
            for one in mine
            if one["status"] not in _OVER or one["proposal_id"] in since
        ),
        "changed": sum(one["proposal_id"] in history.mine for one in changes),
        "due": sum(
            one["status"] in _WORKED_ON and calendar.is_due_next(one["due_at"], one["due_on"])
            for one in mine
        ),
        "started": sum(calendar.was_last_week(one["created_at"]) for one in history.proposals),
        **{
            status: len({one["proposal_id"] for one in changes if one["to_status"] == status})
            for status in ("submitted", "won", "lost")
        },
    }


def _is_open(notice: Row, now: datetime) -> bool:
    if not notice["is_active"]:
        return False
    if notice["response_due_at"] is not None:
        return bool(now < notice["response_due_at"])
    if notice["response_due_on"] is not None:
        return now < over_everywhere_at(notice["response_due_on"])
    return True
