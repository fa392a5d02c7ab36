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
        ({"html": "<html><body>x</body></html>"}, "html", "has to lead to unsubscribe_url"),
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
