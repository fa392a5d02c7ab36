from typing import Any

import pytest

from jobs.messaging.core.override import Override
from jobs.messaging.overrides import check_override, render_override
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered
from jobs.messaging.sandbox import OverrideError
from tests.jobs.messaging.mails import COMMON, MAIL, SMS

VALUES: dict[str, Any] = {**COMMON, "sign_in_url": "https://app.example.com/?a=1&b=2"}


def made(reader: Reader = MAIL, name: str = "welcome", **parts: str) -> Rendered:
    return render_override(name, Override(version=3, **parts), reader, VALUES)


def checked(
    reader: Reader = MAIL, name: str = "welcome", *, is_open: bool = False, **parts: str
) -> Rendered:
    return check_override(name, Override(version=3, **parts), reader, VALUES, is_open=is_open)


def check(reader: Reader, parts: dict[str, str]) -> Rendered:
    override = Override(version=3, **parts)
    return check_override("welcome", override, reader, VALUES, is_open=False)


def test_html_without_a_page_is_put_into_the_layout() -> None:
    mail = made(subject="Selam {{ name }}", html="<p>{{ tenant }}</p><script>alert(1)</script>")

    assert mail.version == "tenant-3"
    assert mail.subject == "Selam Ayşe Işık"
    assert "Güneş Yapı &amp; Oğulları</p>" in mail.html
    assert "prefers-color-scheme" in mail.html
    assert COMMON["unsubscribe_url"] in mail.html
    assert COMMON["postal_address"] in mail.html


def test_a_whole_page_stays_as_it_is_but_for_its_styles() -> None:
    page = (
        "<!DOCTYPE html><html><head><style>p { color: red }</style></head>"
        "<body><p>{{ name }}</p><a href='{{ unsubscribe_url }}'>x</a></body></html>"
    )

    mail = made(html=page)

    assert '<p style="color: red;">Ayşe Işık</p>' in mail.html
    assert "prefers-color-scheme" not in mail.html


def test_a_text_part_is_made_of_the_html() -> None:
    mail = made(html="<h1>Selam</h1><p>Giriş: <a href='{{ sign_in_url }}'>buradan</a></p>")

    assert "Selam" in mail.text
    assert "[buradan](https://app.example.com/?a=1&b=2)" in mail.text
    assert COMMON["unsubscribe_url"] in mail.text
    assert "<" not in mail.text


def test_html_is_made_of_a_text() -> None:
    mail = made(text="Selam <{{ name }}>,\n\nGiriş: {{ sign_in_url }}\nGörüşürüz")

    assert "Selam &lt;Ayşe Işık&gt;,</p>" in mail.html
    assert '<a href="https://app.example.com/?a=1&amp;b=2"' in mail.html
    assert "<br>Görüşürüz</p>" in mail.html


def test_a_subject_may_be_left_to_the_product() -> None:
    assert made(text="x").subject == "Güneş Yapı & Oğulları: hoş geldiniz"


@pytest.mark.parametrize("text", ["Selam", "Selam\n", "Selam\n\n\n"])
def test_a_blank_line_stands_between_a_text_and_the_footer(text: str) -> None:
    assert "Selam\n\n-- \n" in made(text=text).text


def test_an_sms_is_a_text() -> None:
    assert made(SMS, text="Selam  {{ name }} \n\n{{ sign_in_url }}").text == (
        "Selam Ayşe Işık\nhttps://app.example.com/?a=1&b=2"
    )


def test_values_are_escaped_in_html_alone() -> None:
    parts: dict[str, str] = {
        "subject": "{{ tenant }}",
        "text": "{{ tenant }}",
        "html": "<p>{{ tenant }}</p>",
    }

    mail = render_override("welcome", Override(version=1, **parts), MAIL, VALUES)

    assert mail.subject == COMMON["tenant"]
    assert mail.text.startswith(COMMON["tenant"] + "\n")
    assert "Güneş Yapı &amp; Oğulları</p>" in mail.html


def test_turkish_letters_are_large_and_small_in_turkish() -> None:
    assert made(subject="{{ 'istanbul ığdır'|upper }}", text="x").subject == "İSTANBUL IĞDIR"


@pytest.mark.parametrize(
    ("parts", "field", "sentence"),
    [
        ({}, "text", "a mail has a text, HTML, or both"),
        ({"text": "{{ amount }}"}, "text", "there is no amount; there are language, name"),
        ({"text": "x", "subject": "{{ a }}{{ b }}"}, "subject", "there is no a, b; there are"),
        ({"html": "<p>{{ user.email }}</p>"}, "html", "there is no user; there are"),
        ({"text": "{{ palette.secret }}"}, "text", "there is no secret"),
        ({"text": "{{ name"}, "text", "line 1:"),
        ({"text": "x", "subject": "{{ '' }} "}, "subject", "is empty with these values"),
        ({"text": "{% if not name %}x{% endif %}"}, "text", "is empty with these values"),
        (
            {"html": "<html><body>x</body></html>"},
            "html",
            "its readers see no link to unsubscribe: put <a href=",
        ),
    ],
)
def test_what_will_not_work_is_refused_beside_its_field(
    parts: dict[str, str], field: str, sentence: str
) -> None:
    with pytest.raises(OverrideError) as refused:
        check(MAIL, parts)

    assert refused.value.field == field
    assert refused.value.reason.startswith(sentence) or sentence in refused.value.reason
    assert "Ayşe" not in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({}, "text"),
        ({"text": "x", "subject": "y"}, "subject"),
        ({"text": "x", "html": "y"}, "html"),
        ({"text": "x" * 2001}, "text"),
        ({"text": "{{ name * 1000 }}"}, "text"),
        ({"text": "  "}, "text"),
    ],
)
def test_an_sms_is_refused_beside_its_field(parts: dict[str, str], field: str) -> None:
    with pytest.raises(OverrideError) as refused:
        check(SMS, parts)

    assert refused.value.field == field


def test_a_message_of_which_the_product_has_no_words_needs_a_subject() -> None:
    with pytest.raises(OverrideError, match="subject: a mail has one"):
        checked(name="nurture_spring", text="x")


def test_an_open_message_may_ask_for_what_only_its_contacts_have() -> None:
    mail = checked(is_open=True, subject="{{ pet }}", text="{{ pet }} {{ pet.name|default('') }}")

    assert mail.subject == "…"


def test_what_works_is_shown_with_its_sample() -> None:
    assert checked(text="{{ name }}: {{ sign_in_url }}").text.startswith("Ayşe Işık: https://app")


def test_other_words_for_an_opening_are_plain_text_too() -> None:
    block = "{% block opening %}Merhaba {{ name }}{% endblock %}"
    override = Override(version=3, text=block, html=f"<p>{block}</p>")

    mail = render_override("welcome", override, MAIL, VALUES, "a <b>bold</b> {{ tenant }}")

    assert mail.text.startswith("a <b>bold</b> {{ tenant }}\n")
    assert "a &lt;b&gt;bold&lt;/b&gt; {{ tenant }}</p>" in mail.html
    assert mail.opening == "Merhaba Ayşe Işık"


LINK = '<a href="{{ unsubscribe_url }}">Çıkış</a>'
ADDRESS = "<p>{{ postal_address }}</p>"


def page(*parts: str, style: str = "") -> str:
    return (
        f"<html><head><style>{style}</style></head><body><p>Selam</p>{''.join(parts)}</body></html>"
    )


@pytest.mark.parametrize(
    "way_out",
    [
        "<!-- {{ unsubscribe_url }} -->",
        f"<!-- {LINK} -->",
        '<p title="{{ unsubscribe_url }}">x</p>',
        "<p>{{ unsubscribe_url }}</p>",
        f'<div style="display: none">{LINK}</div>',
        f'<div style="visibility:hidden">{LINK}</div>',
        f"<div hidden>{LINK}</div>",
        f'<div style="max-height:0;overflow:hidden">{LINK}</div>',
        f'<div style="opacity: 0.0">{LINK}</div>',
        f'<div style="position:absolute; left:-9999px">{LINK}</div>',
        f'<div style="font-size:0">{LINK}</div>',
        f"<template>{LINK}</template>",
        f"<noscript>{LINK}</noscript>",
        '<a href="{{ unsubscribe_url }}"></a>',
        '<a href="{{ unsubscribe_url }}"> &zwnj;&#8203;</a>',
        '<a href="{{ unsubscribe_url }}"><img src="https://x.example/1.png" alt=""></a>',
        '<a href="{{ unsubscribe_url }}" style="color: #fff">Çıkış</a>',
        '<a href="{{ unsubscribe_url }}/elsewhere">Çıkış</a>',
        '<a href="https://elsewhere.example/?to={{ unsubscribe_url }}">Çıkış</a>',
        '<a name="{{ unsubscribe_url }}">Çıkış</a>',
        "<a href='{{ unsubscribe_url }}' class='out'>Çıkış</a>",
    ],
)
def test_a_way_out_that_readers_do_not_find_is_none(way_out: str) -> None:
    with pytest.raises(OverrideError) as refused:
        checked(html=page(way_out, ADDRESS, style=".out { display: none !important }"))

    assert refused.value.field == "html"
    assert refused.value.reason.startswith("its readers see no link to unsubscribe")
    assert "{{ unsubscribe_url }}" in refused.value.reason


@pytest.mark.parametrize(
    "way_out",
    [
        LINK,
        f'<table><tr><td style="color:#fff; background-color:#000"><b>{LINK}</b></td></tr></table>',
        '<a href="{{ unsubscribe_url }}"><img src="https://x.example/1.png" alt="Çıkış"></a>',
        "<a href='{{ unsubscribe_url }}' style='font-size:11px;opacity:.8'>Çıkış</a>",
        f'<div style="overflow:hidden;width:100%">{LINK}</div>',
    ],
)
def test_a_way_out_may_look_as_it_likes(way_out: str) -> None:
    mail = checked(html=page(way_out, ADDRESS))

    assert COMMON["unsubscribe_url"] in mail.text


@pytest.mark.parametrize("swallowed", ["<!--", "<style>", "<textarea>"])
def test_a_fragment_does_not_swallow_the_layouts_way_out(swallowed: str) -> None:
    with pytest.raises(OverrideError, match="html: its readers see no link to unsubscribe"):
        checked(html=f"<p>Selam</p>{swallowed}")


def test_a_way_out_that_is_there_for_some_readers_alone_is_none() -> None:
    override = Override(
        version=1, html=page("{% if name == 'Ayşe Işık' %}" + LINK + "{% endif %}", ADDRESS)
    )

    render_override("welcome", override, MAIL, VALUES)
    with pytest.raises(OverrideError, match="html: its readers see no link"):
        render_override("welcome", override, MAIL, {**VALUES, "name": "Can"})


def test_what_has_no_way_out_needs_none() -> None:
    values = {**VALUES, "unsubscribe_url": None}
    override = Override(version=1, html=page())

    mail = check_override("welcome", override, MAIL, values, is_open=False)

    assert mail.text == "Selam\n"


def test_a_text_of_its_own_comes_with_the_way_out() -> None:
    mail = checked(text="Selam", html=page(LINK, ADDRESS))

    assert COMMON["unsubscribe_url"] in mail.text
    assert COMMON["postal_address"] in mail.text


@pytest.mark.parametrize(
    "address", ["", "<!-- {{ postal_address }} -->", f'<div style="display:none">{ADDRESS}</div>']
)
def test_a_page_without_the_senders_address_is_refused(address: str) -> None:
    with pytest.raises(OverrideError) as refused:
        checked(html=page(LINK, address))

    assert refused.value.field == "html"
    assert "put {{ postal_address }} in it" in refused.value.reason


@pytest.mark.parametrize("address", [ADDRESS, "<p>BAĞDAT CAD. 1<br>İstanbul</p>"])
def test_an_address_may_be_written_out(address: str) -> None:
    assert checked(html=page(LINK, address)).version == "tenant-3"


def test_a_sender_without_an_address_shows_none() -> None:
    override = Override(version=1, html=page(LINK))

    check_override("welcome", override, MAIL, {**VALUES, "postal_address": ""}, is_open=False)


@pytest.mark.parametrize(
    "part",
    [
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" JaVa&#9;script:alert(1)">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<img src="data:image/svg+xml,x" alt="x">',
        '<form action="javascript:x"></form>',
        '<a style="display:none" href="vbscript:x">x</a>',
    ],
)
def test_what_a_readers_program_would_run_is_refused(part: str) -> None:
    with pytest.raises(OverrideError, match="html: a link leads to something else than a page"):
        made(html=f"<p>Selam</p>{part}")


def test_a_value_that_would_be_run_is_refused_where_it_leads_somewhere() -> None:
    override = Override(version=1, html='<p><a href="{{ name }}">{{ name }}</a></p>')

    with pytest.raises(OverrideError, match="html: a link leads to something else") as refused:
        render_override("welcome", override, MAIL, {**VALUES, "name": "javascript:alert(1)"})

    assert "alert" not in str(refused.value)


def test_pages_addresses_and_numbers_may_be_led_to() -> None:
    mail = made(
        html='<p><a href="https://x.example/">1</a><a href="mailto:a@x.example">2</a>'
        '<a href="tel:+902165550123">3</a><a href="#top">4</a></p>'
        '<img src="data:image/png;base64,eA==" alt="5">'
    )

    assert 'href="tel:+902165550123"' in mail.html


def test_a_subject_is_as_short_as_the_products() -> None:
    values = {**VALUES, "tenant": "Güneş " * 500}

    mail = render_override(
        "welcome", Override(version=1, subject="{{ tenant }}: selam", text="x"), MAIL, values
    )

    assert mail.subject.endswith("…: selam")
    assert len(mail.subject) <= 200
