import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from jinja2 import TemplateNotFound
from typing_extensions import override

from jobs.kit import discover
from jobs.messaging.catalogue import messages
from jobs.messaging.core.colours import palette
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import (
    _TEMPLATES,
    RenderingError,
    built_in_version,
    inlined,
    is_built_in,
    mail_text,
    one_line,
    prepare,
    render,
    render_part,
    sms_text,
)
from tests.jobs.messaging.mails import COMMON, MAIL

discover()
NAMES = [one.name for one in messages() if "email" in one.channels]
FILE = re.compile(r"([a-z0-9_]+)\.(en|tr)\.(subject|txt|html|sms)\.j2")


class Page(HTMLParser):
    """The parts of an HTML document that matter to whoever reads it by eye, or by ear."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def values(message: str, locale: str = "tr", **changes: Any) -> dict[str, Any]:
    (declared,) = [one for one in messages() if one.name == message]
    return {**declared.sample(locale), **COMMON, "language": locale, **changes}


def test_every_message_has_its_templates_in_both_languages_and_every_template_its_message() -> None:
    wanted = {
        f"{one.name}.{language}.{part}.j2"
        for one in messages()
        for language in ("en", "tr")
        for channel in one.channels
        for part in (("subject", "txt", "html") if channel == "email" else ("sms",))
    }
    there = {path.name for path in files("jobs.messaging").joinpath("templates").iterdir()}

    assert wanted
    assert {name for name in there if FILE.fullmatch(name)} == wanted


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("name", NAMES)
def test_every_mail_is_one_that_mail_programs_can_show(name: str, locale: str) -> None:
    made = render(name, replace(MAIL, locale=locale), values(name, locale))

    page = Page(made.html)
    assert made.html.startswith("<!DOCTYPE html>")
    assert made.html.index('<meta charset="utf-8">') < 512
    assert page.all("html")[0]["lang"] == locale
    assert page.all("title")
    assert not [tag for tag, _ in page.tags if tag in {"script", "img", "link", "form", "iframe"}]
    assert "prefers-color-scheme: dark" in made.html
    assert "max-width: 600px" in made.html
    assert len(made.html) < 60_000  # Gmail cuts what is longer than 102 kB
    # Tables are layout, and say so to screen readers, or they have headings.
    tables = [one for one in page.all("table") if "facts" not in (one.get("class") or "")]
    assert all(
        one.get("role") == "presentation" or "rows" in (one.get("class") or "") for one in tables
    )
    assert (made.subject, made.text.strip()) != ("", "")
    assert "None" not in made.text + made.subject + page.text


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("name", NAMES)
def test_both_parts_tell_who_writes_and_how_to_get_out(name: str, locale: str) -> None:
    made = render(name, replace(MAIL, locale=locale), values(name, locale))

    page = Page(made.html)
    for part in (made.text, page.text):
        assert COMMON["tenant"] in part
        assert COMMON["postal_address"] in part
    assert COMMON["unsubscribe_url"] in made.text
    assert COMMON["unsubscribe_url"] in [one["href"] for one in page.all("a")]


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_without_a_way_out_shows_none(name: str) -> None:
    made = render(name, MAIL, values(name, unsubscribe_url=None))

    assert "Abonelikten" not in made.text + made.html


@pytest.mark.parametrize("name", NAMES)
def test_foreign_texts_are_text(name: str) -> None:
    hostile = "<img src=x onerror=alert(1)> {{ 7*7 }} \"'"

    made = render(name, MAIL, values(name, name=hostile, tenant=hostile, postal_address=hostile))

    assert not Page(made.html).all("img")
    assert hostile in made.text
    assert "49" not in made.subject


def test_a_tenants_colour_is_that_of_its_buttons() -> None:
    made = render("welcome", MAIL, values("welcome", palette=palette("#ffcc00")))

    (button,) = [one for one in Page(made.html).all("a") if "sign-in" in (one["href"] or "")]
    assert "color: #111827" in (button["style"] or "")
    assert "background-color: #ffcc00" in made.html


def test_a_value_that_is_missing_is_named_and_no_value_is() -> None:
    known = values("welcome")
    del known["sign_in_url"]

    with pytest.raises(RenderingError, match=r"welcome\.tr\.txt\.j2: there is no sign_in_url$"):
        render("welcome", MAIL, known)


def test_a_value_that_a_filter_cannot_take_is_not_told() -> None:
    with pytest.raises(RenderingError) as refused:
        render("report", MAIL, values("report", made_at="a secret"))

    assert "what it cannot take (TypeError)" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_message_without_templates_is_told() -> None:
    with pytest.raises(RenderingError, match=r"there is no template nothing\.tr\.subject\.j2"):
        render("nothing", MAIL, COMMON)
    assert not is_built_in("nothing", "tr", "email")
    assert is_built_in("welcome", "tr", "email")
    assert not is_built_in("welcome", "tr", "sms")


def test_a_template_cannot_be_named_from_outside_its_folder() -> None:
    with pytest.raises(TemplateNotFound):
        render_part("../rendering.py", MAIL, COMMON)


def test_a_version_is_that_of_the_template_and_of_what_it_imports() -> None:
    alone, with_layout = built_in_version("parts.html.j2"), built_in_version("welcome.tr.html.j2")

    assert re.fullmatch(r"built-in-[0-9a-f]{12}", alone)
    assert alone != with_layout
    assert render("welcome", MAIL, values("welcome")).version == built_in_version(
        "welcome.tr.subject.j2", "welcome.tr.txt.j2", "welcome.tr.html.j2"
    )


def test_styles_are_inlined_without_asking_the_network() -> None:
    """pytest-socket would refuse, and css-inline is not Python: the page would be asked for."""
    html = (
        "<html><head><style>p { color: red } @media print { p { color: blue } }</style>"
        '<link rel="stylesheet" href="http://127.0.0.1:9/style.css">'
        '<link rel="stylesheet" href="file:///etc/passwd"></head><body><p>x</p></body></html>'
    )

    made = inlined(html)

    assert '<p style="color: red;">x</p>' in made
    assert "@media print" in made
    assert "root:" not in made


def test_a_text_part_has_no_gaps_and_keeps_the_line_above_the_footer() -> None:
    """`-- ` with its space is how mail programs know a footer (RFC 3676 4.3)."""
    assert mail_text("\n\na \n\n \n\nb\n\n-- \nc\n\n") == "a\n\nb\n\n-- \nc\n"


def test_an_sms_has_no_spaces_to_pay_for() -> None:
    assert sms_text("\n  a   b \n\n\n c\u00a0d  \n") == "a b\nc d"


@pytest.mark.parametrize("zone", ["Europe/Istanbul", "America/New_York"])
def test_instants_are_told_where_the_reader_is(zone: str) -> None:
    made = render("report", Reader("tr", zone, "email"), values("report"))

    assert {"Europe/Istanbul": "12:00", "America/New_York": "04:00"}[zone] in made.text


def test_signs_that_nobody_sees_and_no_provider_takes_are_left_out() -> None:
    assert one_line("a\x07b \x00 c\n d") == "ab c d"
    assert mail_text("a\x07b\n\tc") == "ab\n\tc\n"
    assert sms_text("a\x07b\nc") == "ab\nc"


def test_templates_are_compiled_beforehand_with_all_that_they_import() -> None:
    assert prepare("payment_reminder", replace(MAIL, locale="en"))

    files = {key[1] for key in _TEMPLATES.cache or ()}
    for part in ("html.j2", "txt.j2", "subject.j2", "parts.j2"):
        assert f"payment_reminder.en.{part}" in files
    assert not prepare("nothing", MAIL)


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("name", NAMES)
def test_a_subject_is_bounded_whatever_is_in_it(name: str, locale: str) -> None:
    known = values(name, locale, tenant="Güneş " * 100, name="Ayşe " * 700)
    texts = {
        key: "👩\u200d👩\u200d👧" * 600
        for key, value in known.items()
        if isinstance(value, str) and key in {"invoice_number", "service", "pet", "title", "period"}
    }

    made = render(name, replace(MAIL, locale=locale), {**known, **texts})

    assert len(made.subject) <= 200
    assert "\u200d…" not in made.subject
    assert "\u200d " not in made.subject


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_asked_to_reply_where_nobody_reads_replies(name: str, locale: str) -> None:
    reader = replace(MAIL, locale=locale)
    told = {"en": re.compile(r"\brepl(y|ies|ying)\b"), "tr": re.compile(r"yanıt(?!sız)")}[locale]

    without = render(name, reader, values(name, locale, reply_to=None))
    with_one = render(name, reader, values(name, locale))

    asks = name.startswith("nurture_") or name in {
        "appointment_reminder",
        "payment_reminder",
        "welcome",
    }
    for part in ("text", "html"):
        assert not told.search(getattr(without, part))
        assert bool(told.search(getattr(with_one, part))) == asks
    assert "\n\n\n" not in without.text


@pytest.mark.parametrize("locale", ["en", "tr"])
@pytest.mark.parametrize("tone", ["friendly", "firm", "final"])
def test_each_tone_says_how_to_answer(locale: str, tone: str) -> None:
    reader = replace(MAIL, locale=locale)
    reach = {"en": "contact us", "tr": "bizimle iletişime geçin"}[locale]

    without = render(
        "payment_reminder", reader, values("payment_reminder", locale, tone=tone, reply_to=None)
    )

    assert reach in without.text
    assert reach in without.html


@pytest.mark.parametrize(
    ("phone", "reply_to", "said"),
    [
        ("1", "a@x.example", "tell us by replying to this mail or by telephone."),
        ("1", None, "tell us by telephone."),
        (None, "a@x.example", "tell us by replying to this mail."),
        (None, None, "please tell us."),
    ],
)
def test_who_cannot_come_is_told_the_ways_there_are(
    phone: str | None, reply_to: str | None, said: str
) -> None:
    known = values("appointment_reminder", "en", store_phone=phone, reply_to=reply_to)

    assert said in render("appointment_reminder", replace(MAIL, locale="en"), known).text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x"]
)
def test_a_button_leads_to_a_page_or_nowhere(url: str) -> None:
    for name, key in (("welcome", "sign_in_url"), ("nurture_welcome", "booking_url")):
        with pytest.raises(RenderingError, match=r"html\.j2: a filter or an operation") as refused:
            render(name, MAIL, values(name, **{key: url}))
        assert "alert" not in str(refused.value)
