"""The words of reminders, with the values of the preview and with others."""

from datetime import UTC, datetime
from typing import Any

import pytest

from clients.sms_text import length
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.colours import palette
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered, render
from jobs.reminders.samples import appointment_reminder

ZONES = {"en": "America/New_York", "tr": "Europe/Istanbul"}
TODAY = {"reminder_type": "3h", "is_today": True}
NOTHING = dict.fromkeys(("service", "pet", "store", "store_address", "store_phone"))
EN = (
    "Paw & Co: your appointment is {} at 7:30 AM, Grooming for Biscuit, Harbor Street."
    " Tel +1 617 555 0123"
)
TENANTS = {"en": "Paw & Co", "tr": "Pati Evi"}


def reminder(locale: str, channel: Channel, **given: Any) -> Rendered:
    values = {
        **appointment_reminder(locale),
        "name": "Ada Lovelace",
        "tenant": TENANTS[locale],
        "language": locale,
        "unsubscribe_url": "https://ours.example/unsubscribe/1",
        "palette": palette(None),
        "postal_address": "",
        "reply_to": "a@b.example",
        **given,
    }
    return render("appointment_reminder", Reader(locale, ZONES[locale], channel), values)


@pytest.mark.parametrize(
    ("locale", "given", "text"),
    [
        (
            "en",
            {},
            EN.format("on Dec 4, 2026"),
        ),
        (
            "en",
            TODAY,
            EN.format("today"),
        ),
        ("en", {**TODAY, **NOTHING}, "Paw & Co: your appointment is today at 7:30 AM."),
        (
            "tr",
            {"service": "Banyo"},
            "Pati Evi: Randevunuz 4 Ara 2026 15:30, Banyo, Pamuk, Moda. Tel +90 216 555 01 23",
        ),
        ("tr", {**TODAY, **NOTHING}, "Pati Evi: Randevunuz bugün 15:30."),
        ("tr", {**NOTHING, "is_elsewhere": True},
         "Pati Evi: Randevunuz 4 Ara 2026 15:30 (İstanbul, GMT+03:00)."),
        ("en", {"text": "See you soon."}, "See you soon."),
    ],
)  # fmt: skip
def test_an_sms_says_when_first(locale: str, given: dict[str, Any], text: str) -> None:
    assert reminder(locale, "sms", **given).text == text


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("given", [{}, TODAY])
def test_an_sms_with_plain_names_is_one_segment(locale: str, given: dict[str, Any]) -> None:
    plain = {"service": "Tam bakim", "store": "Moda", "store_phone": "+90 216 555 01 23"}

    cost = length(reminder(locale, "sms", **plain, **given).text)

    assert (cost.encoding, cost.segments) == ("GSM-7", 1)


@pytest.mark.parametrize("locale", ["en", "tr"])
def test_an_sms_with_long_names_in_turkish_letters_says_when_first(locale: str) -> None:
    names = dict.fromkeys(("service", "pet", "store"), "Çağrı Işık Köpük Şımarık Güneş " * 9)

    text = reminder(locale, "sms", tenant="Iğdır Şirin Dostlar " * 9, **names).text

    assert length(text).segments <= 4
    assert "2026" in text[:80]


@pytest.mark.parametrize(
    ("locale", "given", "subject"),
    [
        ("en", {}, "Reminder: Grooming for Biscuit on December 4, 2026 at 7:30 AM"),
        ("en", TODAY, "Today at 7:30 AM: Grooming for Biscuit"),
        ("en", {**TODAY, **NOTHING}, "Today at 7:30 AM: your appointment"),
        ("tr", {**TODAY, "is_today": False}, "Hatırlatma: Pamuk: Tüy bakımı, 4 Aralık 2026 15:30"),
        ("tr", {}, "Hatırlatma: Pamuk: Tüy bakımı, 4 Aralık 2026 15:30"),
        ("tr", TODAY, "Bugün 15:30: Pamuk: Tüy bakımı"),
    ],
)  # fmt: skip
def test_the_subject_says_when_and_what(locale: str, given: dict[str, Any], subject: str) -> None:
    assert reminder(locale, "email", **given).subject == subject


def test_both_parts_of_a_mail_say_the_same() -> None:
    mail = reminder("tr", "email")

    for part in (mail.text, mail.html):
        assert "4 Aralık 2026 Cuma, saat 15:30 randevunuzu hatırlatırız, Pamuk ile" in part
        assert "Moda, Moda Cad. 12, Kadıköy" in part
        assert "15:30-16:15" in part
        assert "+90 216 555 01 23" in part
        assert "bize bildirin" in part


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("given", [NOTHING, {**NOTHING, **TODAY}, {"is_elsewhere": True}])
def test_a_mail_needs_no_names(locale: str, given: dict[str, Any]) -> None:
    mail = reminder(locale, "email", **given)

    assert "None" not in mail.text + mail.html
    assert ("GMT" in mail.text) is ("is_elsewhere" in given)


@pytest.mark.parametrize("locale", ["en", "tr"])
def test_a_text_of_the_producers_takes_the_place_of_ours(locale: str) -> None:
    mail = reminder(locale, "email", text="Bring <the> chart.")

    assert "Bring <the> chart." in mail.text
    assert "Bring &lt;the&gt; chart." in mail.html
    assert "look forward" not in mail.text
    assert "hatırlatırız" not in mail.text


def test_names_are_no_markup() -> None:
    mail = reminder("en", "email", pet="<script>alert(1)</script>", store="{{ 7 * 7 }}")

    assert "<script>" not in mail.html
    assert "{{ 7 * 7 }}" in mail.text


def test_over_midnight_a_reminder_of_some_hours_names_the_day() -> None:
    at = datetime(2026, 12, 4, 6, 30, tzinfo=UTC)  # half past one at night in New York

    text = reminder("en", "sms", reminder_type="3h", is_today=False, starts_at=at, **NOTHING).text

    assert text == "Paw & Co: your appointment is on Dec 4, 2026 at 1:30 AM."
