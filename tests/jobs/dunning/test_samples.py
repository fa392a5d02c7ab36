from decimal import Decimal
from typing import Any

import pytest

from jobs.dunning.samples import payment_reminder
from jobs.messaging.catalogue import message
from jobs.messaging.core.colours import palette
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered, render

TONES = ("friendly", "firm", "final")
BARE: dict[str, Any] = {
    "fees": Decimal(0), "invoice_number": None, "due_on": None, "payment_link": None,
    "days_overdue": 1,
}  # fmt: skip


def rendered(locale: str, channel: Any, **changes: Any) -> Rendered:
    common = {
        "name": "Ayşe <b>Işık</b>", "tenant": "Oğulları & Co", "language": locale,
        "unsubscribe_url": None, "postal_address": "", "reply_to": "a@b.example",
        "palette": palette(None),
    }  # fmt: skip
    values = {**common, **payment_reminder(locale), **changes}
    return render("payment_reminder", Reader(locale, "Europe/Istanbul", channel), values)


def test_it_is_in_the_catalogue() -> None:
    assert message("payment_reminder").channels == {"email", "sms"}


@pytest.mark.parametrize("locale", ["en", "tr"])
def test_each_tone_has_words_of_its_own(locale: str) -> None:
    mails = [rendered(locale, "email", tone=tone) for tone in TONES]
    texts = [rendered(locale, "sms", tone=tone) for tone in TONES]

    assert len({mail.subject for mail in mails}) == 3
    assert len({mail.text for mail in mails}) == 3
    assert len({text.text for text in texts}) == 3
    for mail in mails:
        assert "https://pay.example.com/i/2026-0042" in mail.text
        assert 'href="https://pay.example.com/i/2026-0042"' in mail.html
        assert "&lt;b&gt;Işık&lt;/b&gt;" in mail.html
        assert "2026-0042" in mail.subject
    assert all(text.text.endswith("\nhttps://pay.example.com/i/2026-0042") for text in texts)


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("locale", ["en", "tr"])
def test_what_is_not_known_leaves_no_gap(locale: str, tone: str) -> None:
    mail = rendered(locale, "email", tone=tone, **BARE)
    text = rendered(locale, "sms", tone=tone, **BARE)

    for said in (mail.subject, mail.text, mail.html, text.text):
        assert "None" not in said
        assert "  " not in said.replace("\n", "") or said is mail.html
    assert "href" not in mail.html
    assert ("1 day " in mail.text or "1 day." in mail.text) == (
        locale == "en" and tone != "friendly"
    )
    assert "1 days" not in mail.text + mail.subject + text.text


def test_amounts_and_dates_are_the_readers() -> None:
    turkish, english = rendered("tr", "email"), rendered("en", "email")

    assert "Ödenecek tutar: ₺1.275,50" in turkish.text
    assert "Gecikme bedeli: ₺25,00" in turkish.text
    assert "Son ödeme tarihi: 23 Kasım 2026" in turkish.text
    assert "To pay: $1,275.50" in english.text
    assert "Due on: November 23, 2026" in english.text
    assert "1.275,50 TL" in rendered("tr", "sms").text


def test_fees_are_only_shown_where_there_are_some() -> None:
    without = rendered("en", "email", fees=Decimal(0), total=Decimal("1250.50"))

    assert "fees" not in without.text + without.html
    assert "To pay: $1,250.50" in without.text


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("locale", ["en", "tr"])
def test_an_invoice_number_cannot_bring_markup(locale: str, tone: str) -> None:
    mail = rendered(locale, "email", tone=tone, invoice_number="<script>&1</script>")

    assert "<script" not in mail.html
    assert "&amp;lt;" not in mail.html
    assert "<script>&1</script>" in mail.text
