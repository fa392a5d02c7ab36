"""What a user is told of a week: the numbers, and the first lines of what is behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.email.core.lines import one_line
from jobs.email.core.opportunities import Opportunity, line, said_deadline
from jobs.email.core.proposals import STATUSES, label
from jobs.email.core.weeks import Week
from jobs.messaging.core.links import web_link

LISTED = 10  # lines of each kind, at most

_NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "posted": "New opportunities",
            "closing": "Closing this week",
            "due": "Proposals due this week",
            "changed": "Changes of your proposals",
            "started": "Started by the team",
            "submitted": "Submitted by the team",
            "won": "Won",
            "lost": "Lost",
        },
        "tr": {
            "posted": "Yeni ihale",
            "closing": "Bu hafta süresi dolacak ihale",
            "due": "Bu hafta verilecek teklif",
            "changed": "Tekliflerinizdeki değişiklik",
            "started": "Ekibin başladığı teklif",
            "submitted": "Ekibin gönderdiği teklif",
            "won": "Kazanılan",
            "lost": "Kaybedilen",
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    title: str
    from_status: str | None
    to_status: str
    changed_at: datetime
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueProposal:
    title: str
    status: str
    due_at: datetime | None = None
    due_on: date | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a tenant's people did in the week. A proposal counts once in each."""

    started: int = 0
    submitted: int = 0
    won: int = 0
    lost: int = 0

    def __bool__(self) -> bool:
        return bool(self.started or self.submitted or self.won or self.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekFacts:
    """Numbers count all; the sequences have the first LISTED of each.

    posted    notices posted in the week; `still_open` of them can still be answered, and are listed
    closing   notices that can be answered now, and no more when the week after is over
    statuses  the user's proposals by status: those not over, and those over since the week began
    changed   status changes of the user's proposals in the week, the newest first
    due       the user's proposals that are not handed in, and are due in the week after
    activity  of all the tenant's people
    """

    posted: int = 0
    still_open: int = 0
    new: Sequence[Opportunity] = ()
    closing: int = 0
    closing_first: Sequence[Opportunity] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)
    changed: int = 0
    changes: Sequence[StatusChange] = ()
    due: int = 0
    due_first: Sequence[DueProposal] = ()
    activity: Activity = field(default_factory=Activity)

    @property
    def is_quiet(self) -> bool:
        """Nothing came, closes, changed or is due. Proposals that only lie there are no news."""
        return not (self.posted or self.closing or self.changed or self.due or self.activity)


def summary_values(
    facts: WeekFacts, week: Week, *, now: datetime, zone: ZoneInfo, locale: str
) -> dict[str, Any]:
    """What the mail says."""

    def lines(found: Sequence[Opportunity]) -> list[Any]:
        return [line(one, now=now, zone=zone, locale=locale) for one in found]

    return {
        "week_from": week.first_on,
        "week_to": week.last_on,
        "figures": _figures(facts, locale),
        "new": lines(facts.new),
        "new_total": facts.still_open,
        "closing": lines(facts.closing_first),
        "closing_total": facts.closing,
        "changes": [
            {
                "title": one_line(one.title),
                "before": one.from_status and label(one.from_status, locale),
                "after": label(one.to_status, locale),
                "changed_at": one.changed_at,
                "url": web_link(one.url),
            }
            for one in facts.changes
        ],
        "changes_total": facts.changed,
        "due": [
            {
                "title": one_line(one.title),
                "status": label(one.status, locale),
                "deadline": said_deadline(one.due_at, one.due_on, zone=zone, locale=locale),
                "url": web_link(one.url),
            }
            for one in facts.due_first
        ],
        "due_total": facts.due,
        "statuses": [
            (label(status, locale), facts.statuses[status])
            for status in STATUSES
            if facts.statuses.get(status)
        ],
    }


def _figures(facts: WeekFacts, locale: str) -> list[tuple[str, int]]:
    """The first three always, what the team did where it did something."""
    names = _NAMES[locale]
    did = facts.activity
    others = {
        "changed": facts.changed,
        "started": did.started,
        "submitted": did.submitted,
        "won": did.won,
        "lost": did.lost,
    }
    return [
        (names["posted"], facts.posted),
        (names["closing"], facts.closing),
        (names["due"], facts.due),
        *((names[name], number) for name, number in others.items() if number),
    ]


def summary_prefix(user_id: UUID) -> str:
    """How the keys of all summaries of a user begin."""
    return f"weekly-summary:{user_id}:"


def summary_key(user_id: UUID, week: Week) -> str:
    """One for each user and week."""
    return f"{summary_prefix(user_id)}{week}"
