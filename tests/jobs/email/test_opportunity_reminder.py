"""The words of the reminder, as mail programs show them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from typing_extensions import override

from jobs.email.core import opportunities as core
from jobs.messaging.core.colours import palette
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered, render

NOW = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Istanbul")
NOTICE = core.Opportunity(
    notice_id="n1",
    title="Roof Replacement",
    notice_type="Solicitation",
    is_active=True,
    set_aside="Total Small Business Set-Aside (FAR 19.5)",
    response_due_at=datetime.fromisoformat("2026-12-05T17:00-05:00"),
    ui_url="https://sam.gov/opp/1/view?a=1&b=2",
)
HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }} \"'> & co"


class Page(HTMLParser):
    """What a mail program would make of the HTML: its tags, links and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]

    @override
    def handle_data(self, data: str) -> None:
        self.text += data


def reminder(*notices: core.Opportunity, locale: str = "tr", report: str | None = None) -> Rendered:
    values = {
        **core.reminder_values(notices, now=NOW, zone=ZONE, locale=locale, report=report),
        "name": "Ayşe Öztürk",
        "tenant": "Güneş Yapı & Oğulları",
        "language": locale,
        "unsubscribe_url": "https://ours.example/unsubscribe/1",
        "palette": palette(None),
        "postal_address": "",
        "reply_to": None,
    }
    return render("opportunity_reminder", Reader(locale, ZONE.key, "email"), values)


@pytest.mark.parametrize("locale", ["en", "tr"])
def test_what_a_notice_says_is_text_and_never_markup(locale: str) -> None:
    plain = Page(reminder(NOTICE, locale=locale).html)

    hostile = replace(NOTICE, title=HOSTILE, department=HOSTILE, set_aside=HOSTILE)
    mail = reminder(hostile, locale=locale)

    page = Page(mail.html)
    assert "script" not in page.tags
    assert page.links == plain.links
    assert page.text.count(HOSTILE) == 4  # with the preview line
    assert HOSTILE in mail.text


def test_links_are_the_notices_and_the_way_out() -> None:
    page = Page(reminder(NOTICE, replace(NOTICE, ui_url="javascript:alert(1)")).html)

    assert page.links == [NOTICE.ui_url, "https://ours.example/unsubscribe/1"]


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en", ["Hello Ayşe Öztürk,", "Set-aside", "2 opportunities", "3 days left"]),
        ("tr", ["Merhaba Ayşe Öztürk,", "Katılım koşulu", "2 ihale", "3 gün kaldı"]),
    ],
)
def test_both_parts_speak_the_readers_language(locale: str, words: list[str]) -> None:
    mail = reminder(NOTICE, NOTICE, locale=locale)

    for part in (mail.text, Page(mail.html).text):
        assert [word for word in words if word not in part] == []
    assert f'<html lang="{locale}"' in mail.html


@pytest.mark.parametrize(
    ("locale", "due_at", "subject"),
    [
        ("en", NOTICE.response_due_at, "Reminder: 1 opportunity, due December 6, 2026"),
        ("tr", NOTICE.response_due_at, "Hatırlatma: 1 ihale, son teklif tarihi 6 Aralık 2026"),
        ("en", None, "Reminder: 1 open opportunity"),
        ("tr", None, "Hatırlatma: teklife açık 1 ihale"),
    ],
)
def test_the_subject_tells_how_many_and_when(
    locale: str, due_at: datetime | None, subject: str
) -> None:
    assert reminder(replace(NOTICE, response_due_at=due_at), locale=locale).subject == subject


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (date(2026, 12, 3), "Bugün son gün"),
        (date(2026, 12, 4), "Yarın son gün"),
        (date(2026, 12, 13), "10 gün kaldı"),
    ],
)
def test_the_days_left_are_told_as_one_says_them(day: date, text: str) -> None:
    mail = reminder(replace(NOTICE, response_due_at=None, response_due_on=day))

    assert text in mail.text
    assert text in mail.html


def test_a_report_is_named() -> None:
    assert "Rapor ektedir: rapor.pdf" in reminder(NOTICE, report="rapor.pdf").text
