"""What mails to a tenant's users are filled with, for somebody made up: previews show it."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobs.email.core import Opportunity, reminder_values
from jobs.messaging.catalogue import declare

_NOW = datetime(2026, 12, 3, 9, tzinfo=UTC)
_ZONES = {"en": "America/New_York", "tr": "Europe/Istanbul"}
_LINK = "https://app.example.com"


def opportunity_reminder(locale: str) -> dict[str, Any]:
    """Three notices: one with an hour, one with a day, one with neither."""
    titles = {
        "en": ("Roof replacement, Building 7", "Grounds maintenance", "IT support services"),
        "tr": ("7 No.lu bina çatı yenileme", "Çevre düzenleme ve bakım", "Bilişim destek hizmeti"),
    }[locale]
    notices = [
        Opportunity(
            notice_id="1",
            title=titles[0],
            notice_type="Solicitation",
            is_active=True,
            solicitation_number="W912QR-27-B-0001",
            department="Department of Defense",
            office="Army Corps of Engineers, Louisville",
            set_aside="Total Small Business Set-Aside (FAR 19.5)",
            response_due_at=datetime(2026, 12, 5, 22, tzinfo=UTC),
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
    zone = ZoneInfo(_ZONES[locale])
    return reminder_values(notices, now=_NOW, zone=zone, locale=locale, report="analytics.pdf")


def welcome(_: str) -> dict[str, Any]:
    """`sign_in_url` may be None."""
    return {"sign_in_url": f"{_LINK}/sign-in"}


def proposal_notification(locale: str) -> dict[str, Any]:
    """`changes` are (label, before, after) of whatever else changed; all but `title`, `status_now`
    and `changed_at` may be None, or empty.
    """
    said = {
        "en": ("Roof replacement, Building 7", "In review", "Submitted", "Price", "$1.2M", "$1.1M"),
        "tr": ("7 No.lu bina çatı yenileme", "İncelemede", "Gönderildi", "Tutar", "₺42M", "₺40M"),
    }[locale]
    return {
        "title": said[0],
        "opportunity": "W912QR-27-B-0001",
        "status_before": said[1],
        "status_now": said[2],
        "changes": [said[3:]],
        "changed_by": "Iğdır Şahin",
        "changed_at": _NOW,
        "deadline": opportunity_reminder(locale)["lines"][0].deadline,
        "url": f"{_LINK}/proposals/1",
    }


def weekly_summary(locale: str) -> dict[str, Any]:
    """`figures` are (label, number); of `new`, `closing` and `proposals` some are shown, and the
    totals tell how many there are.
    """
    labels, statuses = {
        "en": (("New opportunities", "Closing soon", "Proposals"), ("Submitted", "In review")),
        "tr": (("Yeni ihale", "Süresi dolan", "Teklif"), ("Gönderildi", "İncelemede")),
    }[locale]
    lines = opportunity_reminder(locale)["lines"]
    return {
        "week_from": date(2026, 11, 23),
        "week_to": date(2026, 11, 29),
        "figures": list(zip(labels, (1204, 2, 2), strict=True)),
        "new": lines,
        "new_total": 1204,
        "closing": lines[:2],
        "closing_total": 2,
        "proposals": [
            {"title": one.title, "status": status, "url": f"{_LINK}/proposals/1"}
            for one, status in zip(lines[:2], statuses, strict=True)
        ],
        "proposals_total": 2,
        "url": f"{_LINK}/dashboard",
    }


def report(locale: str) -> dict[str, Any]:
    """The file is attached, or there is a `url` that works until `url_until`."""
    return {
        "title": {"en": "Opportunities by agency", "tr": "Kurumlara göre ihaleler"}[locale],
        "period": {"en": "November 2026", "tr": "Kasım 2026"}[locale],
        "made_at": _NOW,
        "filename": "analytics.pdf",
        "is_attached": False,
        "url": f"{_LINK}/reports/1",
        "url_until": _NOW.replace(day=10),
    }


declare("opportunity_reminder", channels={"email"}, sample=opportunity_reminder)
declare("proposal_notification", channels={"email"}, sample=proposal_notification)
declare("report", channels={"email"}, sample=report)
declare("weekly_summary", channels={"email"}, sample=weekly_summary)
declare("welcome", channels={"email"}, sample=welcome)
