from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from clients.errors import RequestRejectedError
from clients.mail import (
    Attachment,
    CalendarEvent,
    Sender,
    ascii_address,
    build_message,
    without_addresses,
)
from tests.clients.mails import MAIL, MESSAGE_ID, NOW, SENDER


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "pat@tenant.example\r\nBcc: eve@evil.example"),
        ("to", "Pat <pat@tenant.example>"),
        ("to", "pat@tenant.example, eve@evil.example"),
        ("to_name", "Pat\nBcc: eve@evil.example"),
        ("subject", "Hello\r\n\r\n<script>"),
        ("subject", " "),
        ("unsubscribe_url", "https://ours.example/>\r\nBcc: eve@evil.example"),
        ("unsubscribe_url", "javascript:alert(1)"),
        ("language", "en\r\nX: y"),
        ("attachments", (Attachment("a\r\nb.pdf", "application/pdf", b""),)),
        ("attachments", (Attachment("a.pdf", "application/pdf\r\nX: y", b""),)),
        ("attachments", (Attachment("a.eml", "message/rfc822", b""),)),
    ],
)
def test_what_would_break_out_of_its_header_is_refused(field: str, value: str) -> None:
    with pytest.raises(RequestRejectedError, match=field) as error:
        replace(MAIL, **{field: value})  # type: ignore[arg-type] # one field at a time

    assert "evil" not in str(error.value)


def test_a_message_id_is_checked_too() -> None:
    with pytest.raises(RequestRejectedError, match="message_id"):
        build_message(MAIL, SENDER, message_id="<a@b>\r\nBcc: eve@evil.example", date=NOW)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pat@tenant.example", "pat@tenant.example"),
        ("  Pat.O'Neil+bids@Tenant.Example ", "Pat.O'Neil+bids@tenant.example"),
        ("bilgi@müşteri.com.tr", "bilgi@xn--mteri-kva70e.com.tr"),
        ("root@localhost", "root@localhost"),
        ("şükrü@tenant.example", None),
        ("pat@tenant", None),
        ("pat@-tenant.example", None),
        ("pat@tenant..example", None),
        (".pat@tenant.example", None),
        ("pat@tenant.example@evil.example", None),
        ("pat", None),
        ("", None),
        ("@tenant.example", None),
        (f"{'a' * 65}@tenant.example", None),
        (f"a@{'b.' * 130}example", None),
    ],
)
def test_an_address_is_one_or_not(text: str, address: str | None) -> None:
    assert ascii_address(text) == address


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("alerts@ours.example", "alerts@ours.example", ""),
        ("Ours <alerts@Ours.example>", "alerts@ours.example", "Ours"),
        ('"Ours, Ltd." <alerts@ours.example>', "alerts@ours.example", "Ours, Ltd."),
    ],
)
def test_a_sender_is_read_with_or_without_its_name(text: str, address: str, name: str) -> None:
    sender = Sender.parse(text)

    assert (sender.address, sender.name, sender.domain) == (address, name, "ours.example")


def test_a_sender_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="Name <address>"):
        Sender.parse("Ours, Ltd.")


def test_the_message_is_seven_bit_and_has_no_long_line() -> None:
    content = build_message(MAIL, SENDER, message_id=MESSAGE_ID, date=NOW).as_bytes()

    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_a_long_link_stays_whole_on_its_line() -> None:
    content = build_message(MAIL, SENDER, message_id=MESSAGE_ID, date=NOW).as_bytes()

    assert f"List-Unsubscribe: <{MAIL.unsubscribe_url}>,\r\n <mailto:".encode() in content


def test_the_parts_are_alternatives_with_the_files_beside_them() -> None:
    content = build_message(MAIL, SENDER, message_id=MESSAGE_ID, date=NOW).as_bytes()

    message = message_from_bytes(content, policy=policy.default)
    types = [part.get_content_type() for part in message.walk()]
    assert types == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/vnd.ms-excel",
    ]
    assert message["Date"].datetime == NOW
    assert not message.defects


EVENT = CalendarEvent(
    "REQUEST",
    "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Diş kontrolü, Iğdır şubesi: ğüşıöç ğüşıöç\r\n"
    " öç\r\nEND:VCALENDAR\r\n",
)


def test_an_event_is_an_alternative_and_a_file() -> None:
    """Calendars take it over from the one; mail programs that know none show the other."""
    mail = replace(MAIL, event=EVENT)

    content = build_message(mail, SENDER, message_id=MESSAGE_ID, date=NOW).as_bytes()

    message = message_from_bytes(content, policy=policy.default)
    alternatives = next(message.iter_parts())
    assert [part.get_content_type() for part in alternatives.iter_parts()] == [
        "text/plain",
        "text/html",
        "text/calendar",
    ]
    (event,) = [one for one in message.walk() if one.get_content_type() == "text/calendar"]
    assert event.get_param("method") == "REQUEST"
    assert event.get_content_charset() == "utf-8"
    assert event.get_payload(decode=True) == EVENT.content.encode()
    file = list(message.iter_attachments())[-1]
    assert (file.get_content_type(), file.get_filename()) == ("application/ics", "invite.ics")
    assert file.get_content() == EVENT.content.encode()


def test_what_a_relay_may_fold_again_is_folded_already() -> None:
    """So that no server on the way changes what was signed (DKIM): RFC 5322 2.1.1, RFC 2045 6.7."""
    mail = replace(
        MAIL,
        subject="Hatırlatma: " + "ihale " * 60 + "ğ" * 200,
        to_name="Şükrü " * 40,
        text="x" * 5000 + "\n" + "ğüşıöç" * 500 + "\n\n" + "a b " * 500 + " \n",
        html=f"<p>{'ç' * 3000}</p>\n",
        event=EVENT,
    )

    content = build_message(mail, SENDER, message_id=MESSAGE_ID, date=NOW).as_bytes()

    head, _, body = content.partition(b"\r\n\r\n")
    assert content.isascii()
    assert max(len(line) for line in head.split(b"\r\n")) <= 998
    assert max(len(line) for line in body.split(b"\r\n")) <= 78
    message = message_from_bytes(content, policy=policy.default)
    assert not message.defects
    assert message["Subject"] == " ".join(mail.subject.split())
    parts = {one.get_content_type(): one for one in message.walk()}
    assert parts["text/plain"].get_content().replace("\r\n", "\n") == mail.text
    assert parts["text/html"].get_content().replace("\r\n", "\n") == mail.html


def test_a_mail_says_who_wrote_it_and_what_it_is() -> None:
    message = build_message(MAIL, SENDER, message_id=MESSAGE_ID, date=NOW)

    assert message["Message-ID"] == MESSAGE_ID
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "tr"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Subject"] == "Yaklaşan ihaleler: ığüşöç İĞÜŞÖÇ"


def test_a_link_that_is_not_https_offers_no_one_click() -> None:
    mail = replace(MAIL, unsubscribe_url="http://127.0.0.1:8500/unsubscribe")

    message = build_message(mail, SENDER, message_id=MESSAGE_ID, date=NOW)

    assert "List-Unsubscribe" in message
    assert "List-Unsubscribe-Post" not in message


def test_neither_content_nor_people_show_in_a_mails_repr() -> None:
    shown = repr(MAIL)

    assert "sukru" not in shown
    assert "Merhaba" not in shown


def test_a_services_words_lose_their_addresses() -> None:
    words = "550 5.1.1 <pat@tenant.example>:\n no such user"

    assert without_addresses(words) == "550 5.1.1 (address) no such user"
