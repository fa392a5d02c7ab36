"""What reminders are filled with, for somebody made up: previews show it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from jobs.messaging.catalogue import Enclosed, declare
from jobs.reminders.core import MOST_SEGMENTS, TEMPLATE, Appointment, invitation

_STARTS_AT = datetime(2026, 12, 4, 12, 30, tzinfo=UTC)
_ZONES = {"en": "America/New_York", "tr": "Europe/Istanbul"}
_WORDS = {
    "en": ("Grooming", "Biscuit", "Harbor Street", "12 Harbor Street, Boston", "+1 617 555 0123"),
    "tr": ("Tüy bakımı", "Pamuk", "Moda", "Moda Cad. 12, Kadıköy", "+90 216 555 01 23"),
}


def appointment_reminder(locale: str) -> dict[str, Any]:
    """Of an appointment of tomorrow. All but the times and the type may be None."""
    service, pet, store, address, phone = _WORDS[locale]
    return {
        "reminder_type": "24h",
        "starts_at": _STARTS_AT,
        "ends_at": _STARTS_AT + timedelta(minutes=45),
        "is_today": False,
        "is_elsewhere": False,
        "service": service,
        "pet": pet,
        "store": store,
        "store_address": address,
        "store_phone": phone,
        "text": None,
    }


def enclosed(locale: str, tenant: str) -> Enclosed:
    """The same appointment, for the reader's calendar."""
    service, pet, store, address, phone = _WORDS[locale]
    appointment = Appointment(
        appointment_id=UUID(int=1),
        contact_id=UUID(int=1),
        status="confirmed",
        starts_at=_STARTS_AT,
        ends_at=_STARTS_AT + timedelta(minutes=45),
        sequence=0,
        timezone=_ZONES[locale],
        service=service,
        pet=pet,
        store=store,
        store_address=address,
        store_phone=phone,
        full_name="",
        email=None,
        phone=None,
        locale=locale,
        contact_timezone=_ZONES[locale],
        consented=frozenset(),
        preferred_channel=None,
    )
    return Enclosed(invitation=invitation(appointment, tenant))


declare(
    TEMPLATE,
    channels={"email", "sms"},
    sample=appointment_reminder,
    enclosed=enclosed,
    most_segments=MOST_SEGMENTS,
)
