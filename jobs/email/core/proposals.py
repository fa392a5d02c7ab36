"""Proposals: what their statuses are called, and what their team is told of a change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.email.core.lines import one_line
from jobs.email.core.opportunities import said_deadline
from jobs.messaging.core.links import web_link
from jobs.messaging.core.recipient import person_name

# In the order in which a proposal goes through them. Those of the first group are still worked on,
# those of the last are over.
OPEN = ("draft", "in_progress", "in_review", "approved")
FINAL = ("won", "lost", "withdrawn")
STATUSES = (*OPEN, "submitted", *FINAL)

_LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "draft": "Draft",
            "in_progress": "In progress",
            "in_review": "In review",
            "approved": "Approved",
            "submitted": "Submitted",
            "won": "Won",
            "lost": "Lost",
            "withdrawn": "Withdrawn",
        },
        "tr": {
            "draft": "Taslak",
            "in_progress": "Hazırlanıyor",
            "in_review": "İncelemede",
            "approved": "Onaylandı",
            "submitted": "Gönderildi",
            "won": "Kazanıldı",
            "lost": "Kaybedildi",
            "withdrawn": "Geri çekildi",
        },
    }
)
_SINCE = MappingProxyType({"en": "Since then", "tr": "Sonrasında"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposal whose status became another, and how it stands now.

    `from_status` None: it began so. `changed_by` is a name; None: nobody of the users.
    """

    change_id: UUID
    title: str
    from_status: str | None
    to_status: str
    changed_by: str | None
    changed_at: datetime
    status: str
    due_at: datetime | None = None
    due_on: date | None = None
    url: str | None = None
    opportunity: str = ""


def label(status: str, locale: str) -> str:
    """A status in the reader's language; one that is not known reads as it is."""
    return _LABELS[locale].get(status) or one_line(status.replace("_", " "))


def notification_values(change: Change, *, zone: ZoneInfo, locale: str) -> dict[str, Any]:
    """What the mail says: the change, and where the proposal has gone since."""
    since = []
    if change.status != change.to_status:
        since.append((_SINCE[locale], None, label(change.status, locale)))
    # Nobody has to hurry for one that is handed in, or over.
    is_due = change.status in OPEN
    return {
        "title": one_line(change.title),
        "opportunity": one_line(change.opportunity),
        "status_before": change.from_status and label(change.from_status, locale),
        "status_now": label(change.to_status, locale),
        "changes": since,
        "changed_by": person_name(change.changed_by or ""),
        "changed_at": change.changed_at,
        "deadline": said_deadline(change.due_at, change.due_on, zone=zone, locale=locale)
        if is_due
        else "",
        "url": web_link(change.url),
    }


def notification_key(change_id: UUID, user_id: UUID) -> str:
    """One for each change and member of the team."""
    return f"proposal-notification:{change_id}:{user_id}"
