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


declare("opportunity_reminder", channels={"email"}, sample=opportunity_reminder)
declare("welcome", channels={"email"}, sample=welcome)
