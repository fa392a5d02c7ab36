"""What is written by hand is read by the standard library."""

from dataclasses import replace
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import RequestRejectedError
from clients.mail import CalendarEvent, Mail, Sender
from clients.mime import is_small, written_message
from tests.clients.mails import MAIL, MESSAGE_ID, NOW, SENDER

XLSX = MAIL.attachments[0]
# What Mail lets through: no control characters, no lone surrogates.
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300)
BODIES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(str.strip)
NAMES = [
    "Pat",
    "Pat O'Neil-Smith",
    "Dr. Pat",
    "Neil, Pat",
    'Pat "Bids" Neil',
    "back\\slash",
    " spaces ",
    "Şükrü Ağaoğlu, Müh.",
    "=?utf-8?q?Pat?=",
    "Şükrü Ağaoğlu " * 8,
    "Ministry of Public Works and of Everything Else " * 4,
    "日本語の名前" * 20,
    "😀" * 30,
]


def written(mail: Mail = MAIL, sender: Sender = SENDER) -> bytes:
    return written_message(mail, sender, message_id=MESSAGE_ID, date=NOW)


def read(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def mailbox(content: bytes, header: str) -> tuple[str, str]:
    """Its name and address. Not by `policy.default`, which puts spaces between encoded words."""
    value = message_from_bytes(content, policy=policy.compat32)[header]
    name, address = parseaddr(value.replace("\r\n", ""))
    return str(make_header(decode_header(name))), address


def lines(content: bytes) -> list[bytes]:
    return content.split(b"\r\n")


@pytest.mark.parametrize(
    "message_id", ["<a@b>\r\nBcc: eve@evil.example", "a@b", "<a b@c>", "<a@b", ""]
)
def test_a_message_id_is_checked_too(message_id: str) -> None:
    with pytest.raises(RequestRejectedError, match="message_id"):
        written_message(MAIL, SENDER, message_id=message_id, date=NOW)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("address", [MAIL.to, f"{'a' * 64}@{'b' * 60}.example"])
def test_names_arrive_as_they_are(name: str, address: str) -> None:
    content = written(replace(MAIL, to_name=name, to=address), replace(SENDER, name=name))

    assert mailbox(content, "To") == (name, address)
    assert mailbox(content, "From") == (name, SENDER.address)
    head = content[: content.index(b"\r\n\r\n")]
    assert all(len(line) <= 76 for line in lines(head) if b"=?utf-8?" in line)


def test_a_mailbox_without_a_name_is_an_address() -> None:
    content = written(replace(MAIL, to_name="", reply_to="Pat@tenant.example"))

    assert b"\r\nTo: sukru@tenant.example\r\n" in content
    assert b"\r\nReply-To: Pat@tenant.example\r\n" in content


@pytest.mark.parametrize(
    "subject",
    [
        "Hello",
        "Yaklaşan ihaleler: ığüşöç İĞÜŞÖÇ " * 6,
        "three   spaces and   a long line that has to be folded somewhere, " * 4 + "end",
        "a" * 300,
        "a" * 1200,
        "x" + " " * 200 + "y",
        " around ",
        "=?utf-8?q?looks_encoded?=",
        "emoji 😀 and text",
    ],
)
def test_subjects_arrive_as_they_are(subject: str) -> None:
    content = written(replace(MAIL, subject=subject))

    assert read(content)["Subject"] == subject
    assert all(line.strip() for line in lines(content[: content.index(b"\r\n\r\n")]))


@given(LINES.filter(str.strip), LINES, BODIES, BODIES)
def test_any_mail_is_read_as_it_was_meant(subject: str, to_name: str, text: str, html: str) -> None:
    mail = replace(MAIL, subject=subject, to_name=to_name, text=text, html=html)

    content = written(mail)

    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(map(len, lines(content))) <= 998
    message = read(content)
    assert message["Subject"] == subject
    assert mailbox(content, "To") == (to_name, mail.to)
    for kind, body in (("plain", text), ("html", html)):
        part = message.get_body((kind,))
        assert part is not None
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        assert octets.splitlines() == body.encode().splitlines()


def test_no_line_of_a_text_is_longer_than_76() -> None:
    mail = replace(MAIL, text="ş" * 500 + " \n" + "word " * 100 + "\t", html="<p>" + "=" * 300)

    content = written(mail)

    body = content[content.index(b"quoted-printable") :]
    assert max(map(len, lines(body))) <= 76


@pytest.mark.parametrize("size", [0, 1, 57, 58, 100_000])
def test_files_arrive_octet_by_octet(size: int) -> None:
    octets = bytes(at * 7 % 256 for at in range(size))
    content = written(replace(MAIL, attachments=(replace(XLSX, content=octets), XLSX)))

    first, second = read(content).iter_attachments()
    assert first.get_payload(decode=True) == octets
    assert second.get_content() == XLSX.content
    assert max(map(len, lines(content))) <= 100


@pytest.mark.parametrize(
    "filename",
    [
        "report.pdf",
        "two words.pdf",
        "a.b'c(1)*%20;=.pdf",
        'quoted"name.pdf',
        "back\\slash.pdf",
        "çizelge.xlsx",
        "çizelge 日本 " * 20 + ".xlsx",
        "long-" * 40 + ".pdf",
    ],
)
def test_filenames_arrive_as_they_are(filename: str) -> None:
    content = written(replace(MAIL, attachments=(replace(XLSX, filename=filename),)))

    (file,) = read(content).iter_attachments()
    assert file.get_filename() == filename
    assert file.get_content_disposition() == "attachment"
    assert file.get_content_type() == XLSX.content_type


def test_a_mail_of_text_only_has_one_part() -> None:
    message = read(written(replace(MAIL, html="", attachments=())))

    assert message.get_content_type() == "text/plain"
    assert message.get_content() == MAIL.text.replace("\n", "\r\n")


def test_a_text_that_looks_like_a_boundary_is_none() -> None:
    content = written(replace(MAIL, text="--=_0\n--=_0--\n"))

    text = read(content).get_body(("plain",))
    assert text is not None
    assert text.get_content() == "--=_0\r\n--=_0--\r\n"


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        (replace(SENDER, address="alerts@ours.example>\r\nBcc: <eve@evil.example"), "From"),
        (replace(SENDER, address="none"), "From"),
        (replace(SENDER, unsubscribe_mailbox="a@b.example>\r\nBcc: <e@f.example"), "Unsubscribe"),
    ],
)
def test_a_sender_breaks_out_of_no_header(sender: Sender, field: str) -> None:
    with pytest.raises(RequestRejectedError, match=field) as error:
        written(sender=sender)

    assert "evil" not in str(error.value)


def test_a_senders_name_breaks_out_of_no_header() -> None:
    content = written(sender=replace(SENDER, name="Ours\r\nBcc: eve@evil.example"))

    assert "Bcc" not in read(content)


def test_what_is_small_is_written_at_once() -> None:
    assert is_small(replace(MAIL, attachments=()))
    assert not is_small(MAIL)
    assert not is_small(replace(MAIL, attachments=(), html="x" * 100_000))


def test_the_message_is_seven_bit_and_has_no_long_line() -> None:
    content = written()

    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_a_long_link_stays_whole_on_its_line() -> None:
    content = written()

    assert f"List-Unsubscribe: <{MAIL.unsubscribe_url}>,\r\n <mailto:".encode() in content


def test_the_parts_are_alternatives_with_the_files_beside_them() -> None:
    content = written()

    message = read(content)
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

    content = written(mail)

    message = read(content)
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

    content = written(mail)

    head, _, body = content.partition(b"\r\n\r\n")
    assert content.isascii()
    assert max(len(line) for line in head.split(b"\r\n")) <= 998
    assert max(len(line) for line in body.split(b"\r\n")) <= 78
    message = read(content)
    assert not message.defects
    assert message["Subject"] == " ".join(mail.subject.split())
    parts = {one.get_content_type(): one for one in message.walk()}
    assert parts["text/plain"].get_content().replace("\r\n", "\n") == mail.text
    assert parts["text/html"].get_content().replace("\r\n", "\n") == mail.html


def test_a_mail_says_who_wrote_it_and_what_it_is() -> None:
    message = read(written())

    assert message["Message-ID"] == MESSAGE_ID
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "tr"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Subject"] == "Yaklaşan ihaleler: ığüşöç İĞÜŞÖÇ"


def test_a_link_that_is_not_https_offers_no_one_click() -> None:
    mail = replace(MAIL, unsubscribe_url="http://127.0.0.1:8500/unsubscribe")

    message = read(written(mail))

    assert "List-Unsubscribe" in message
    assert "List-Unsubscribe-Post" not in message
