"""What mails to a tenant's users are filled with, for somebody made up: previews show it."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from clients.mail import Attachment
from jobs.email.core.opportunities import Opportunity, reminder_values
from jobs.email.core.proposals import Change, notification_values
from jobs.email.core.summary import (
    Activity,
    DueProposal,
    StatusChange,
    WeekFacts,
    summary_values,
)
from jobs.email.core.weeks import Week
from jobs.messaging.catalogue import Enclosed, declare

_NOW = datetime(2026, 12, 3, 9, tzinfo=UTC)
_ZONES = {"en": "America/New_York", "tr": "Europe/Istanbul"}
_LINK = "https://app.example.com"
_REPORT = Attachment("analytics.csv", "text/csv", b"agency;notices\r\nNASA;3\r\n")
_DUE_AT = datetime(2026, 12, 5, 22, tzinfo=UTC)
_WORK = {"en": "Roof replacement, Building 7", "tr": "7 No.lu bina çatı yenileme"}


def notices(locale: str) -> list[Opportunity]:
    """Three: one with an hour, one with a day, one with neither."""
    titles = {
        "en": (_WORK["en"], "Grounds maintenance", "IT support services"),
        "tr": (_WORK["tr"], "Çevre düzenleme ve bakım", "Bilişim destek hizmeti"),
    }[locale]
    return [
        Opportunity(
            notice_id="1",
            title=titles[0],
            notice_type="Solicitation",
            is_active=True,
            solicitation_number="W912QR-27-B-0001",
            department="Department of Defense",
            office="Army Corps of Engineers, Louisville",
            set_aside="Total Small Business Set-Aside (FAR 19.5)",
            response_due_at=_DUE_AT,
            ui_url="https://sam.gov/opp/1/view",
        ),
        Opportunity(
            notice_id="2",
            title=titles[1],
            notice_type="Combined Synopsis/Solicitation",
            is_active=True,
            department="Department of Veterans Affairs",
            response_due_on=date(2026, 12, 14),
            ui_url="https://sam.gov/opp/2/view",
        ),
        Opportunity(notice_id="3", title=titles[2], notice_type="Sources Sought", is_active=True),
    ]


def opportunity_reminder(locale: str) -> dict[str, Any]:
    """Three notices, and a report, which may be None."""
    zone = ZoneInfo(_ZONES[locale])
    return reminder_values(
        notices(locale), now=_NOW, zone=zone, locale=locale, report=_REPORT.filename
    )


def with_report(locale: str, tenant: str) -> Enclosed:
    """That report."""
    del locale, tenant  # figures have no language
    return Enclosed(attachments=(_REPORT,))


def welcome(_: str) -> dict[str, Any]:
    """`sign_in_url` may be None."""
    return {"sign_in_url": f"{_LINK}/sign-in"}


def proposal_notification(locale: str) -> dict[str, Any]:
    """One that went on to review, and has been approved since."""
    change = Change(
        change_id=UUID(int=1),
        title=_WORK[locale],
        from_status="in_progress",
        to_status="in_review",
        changed_by="Iğdır Şahin",
        changed_at=_NOW,
        status="approved",
        due_at=_DUE_AT,
        url=f"{_LINK}/proposals/1",
        opportunity="W912QR-27-B-0001",
    )
    return notification_values(change, zone=ZoneInfo(_ZONES[locale]), locale=locale)


def weekly_summary(locale: str) -> dict[str, Any]:
    """A busy week: there is more of everything than is shown."""
    found = notices(locale)
    facts = WeekFacts(
        posted=1204,
        still_open=1180,
        new=found,
        closing=12,
        closing_first=found[:2],
        statuses={"in_progress": 2, "submitted": 1, "won": 1},
        changed=11,
        changes=[
            StatusChange(
                title=_WORK[locale],
                from_status="in_review",
                to_status="submitted",
                changed_at=_NOW,
                url=f"{_LINK}/proposals/1",
            )
        ],
        due=1,
        due_first=[DueProposal(title=_WORK[locale], status="in_progress", due_at=_DUE_AT)],
        activity=Activity(started=3, submitted=2, won=1, lost=1),
    )
    week, zone = Week.of(_NOW.date()).previous, ZoneInfo(_ZONES[locale])
    return summary_values(facts, week, now=_NOW, zone=zone, locale=locale)


def report(locale: str) -> dict[str, Any]:
    """The file is attached, or there is a `url` that works until `url_until`, or else its `place`
    in storage is told.
    """
    return {
        "title": {"en": "Opportunities by agency", "tr": "Kurumlara göre ihaleler"}[locale],
        "period": {"en": "November 2026", "tr": "Kasım 2026"}[locale],
        "made_at": _NOW,
        "filename": "analytics.pdf",
        "is_attached": False,
        "url": f"{_LINK}/reports/1",
        "url_until": _NOW.replace(day=10),
        "place": "reports/1/analytics.pdf",
    }


declare(
    "opportunity_reminder", channels={"email"}, sample=opportunity_reminder, enclosed=with_report
)
declare("proposal_notification", channels={"email"}, sample=proposal_notification)
declare("report", channels={"email"}, sample=report, knows_name=False)
declare("weekly_summary", channels={"email"}, sample=weekly_summary)
declare("welcome", channels={"email"}, sample=welcome)
