"""The bytes of a mail (RFC 5322, 2045 to 2047, 2231): 7-bit, so any server takes them.

Written here and not by the standard library's EmailMessage, which takes twenty times as long: it
parses each header that it has just been given. The tests read with it what is written here.
"""

import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from functools import lru_cache
from secrets import token_hex

from clients.errors import RequestRejectedError
from clients.mail import Attachment, CalendarEvent, Mail, Sender, ascii_address, list_headers

_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")
_PRINTABLE = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # RFC 5322 3.2.3, and spaces
_LINE = 76  # characters, where a header holds encoded words (RFC 2047 2); others may be longer
_WORD = 39  # octets of text in an encoded word: 64 characters, so "Subject: " fits before the first
_LONGEST_WORD = 900  # characters without a space: a line ends at 998
_WITHIN_CHARACTER = 0x80  # the two highest bits of an octet of UTF-8
_LONGEST_NAME = 60
_SMALL = 64 * 1024  # octets: written in less time than it takes to ask a thread for it


def is_small(mail: Mail) -> bool:
    """Whether it is written in well under a millisecond."""
    files = sum(len(file.content) for file in mail.files)
    return files + len(mail.text) + len(mail.html) <= _SMALL


def written_message(mail: Mail, sender: Sender, *, message_id: str, date: datetime) -> bytes:
    """Text, HTML and event as alternatives, then the files; lines end with CRLF.

    `sender` is the provider's, for a mail that has none. `message_id` is `<unique@domain>`; `date`
    is aware. A megabyte takes some milliseconds: what is not small, not on the event loop. Raises
    RequestRejectedError.
    """
    _require(bool(_MESSAGE_ID.fullmatch(message_id)), "message_id: not one")
    sender = mail.sender or sender
    head = [_mailbox_header("From", sender.name, sender.address)]
    head.append(_mailbox("To", mail.to_name, mail.address))
    if mail.reply_to is not None:
        head.append(f"Reply-To: {ascii_address(mail.reply_to)}")
    head.append(f"Subject: {_words(mail.subject, start=len('Subject: '))}")
    head.append(f"Date: {format_datetime(date)}")
    head.append(f"Message-ID: {message_id}")
    head += _link_headers(mail, sender)
    head.append("Auto-Submitted: auto-generated")  # RFC 3834: nobody's autoresponder answers
    head.append(f"Content-Language: {mail.language}")
    head.append("MIME-Version: 1.0")
    return "\r\n".join(head).encode("ascii") + b"\r\n" + _body(mail)


def _body(mail: Mail) -> bytes:
    """With its Content-Type. Neither base64 nor quoted-printable can hold a boundary: `=_`."""
    alternatives = [_text("plain", mail.text)]
    if mail.html:
        alternatives.append(_text("html", mail.html))
    if mail.event is not None:
        alternatives.append(_event(mail.event))
    body = alternatives[0] if len(alternatives) == 1 else _multipart("alternative", alternatives)
    return _multipart("mixed", [body, *map(_file, mail.files)]) if mail.files else body


def _multipart(subtype: str, parts: list[bytes]) -> bytes:
    boundary = f"=_{token_hex(12)}"
    between = f"--{boundary}\r\n".encode()
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    # A part's last line break belongs to the line that follows it.
    return b"".join([head, *(between + part + b"\r\n" for part in parts), between[:-2], b"--\r\n"])


def _text(subtype: str, text: str) -> bytes:
    lines = b"\r\n".join(text.encode().splitlines()) + b"\r\n"
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode() + binascii.b2a_qp(lines, istext=True)


def _event(event: CalendarEvent) -> bytes:
    """In base64, which keeps its line breaks as they are."""
    head = f'Content-Type: text/calendar; charset="utf-8"; method="{event.method}"\r\n'
    return f"{head}Content-Transfer-Encoding: base64\r\n\r\n".encode() + _base64(
        event.content.encode()
    )


def _file(file: Attachment) -> bytes:
    return _file_head(file.content_type, file.filename) + b"\r\n" + _base64(file.content)


def _base64(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    return b"\r\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))


@lru_cache(maxsize=256)
def _file_head(content_type: str, filename: str) -> bytes:
    """Names beyond ASCII are the standard library's matter (RFC 2231)."""
    is_plain = _PRINTABLE.fullmatch(filename) and not re.search(r'["\\]', filename)
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
    if is_plain and len(filename) <= _LONGEST_NAME:
        return f'{head}Content-Disposition: attachment; filename="{filename}"\r\n'.encode()
    part = EmailMessage(policy=policy.SMTP)
    part.add_header("Content-Disposition", "attachment", filename=filename)
    return head.encode() + part.as_bytes().removesuffix(b"\r\n")


@lru_cache(maxsize=1024)
def _mailbox_header(header: str, name: str, address: str) -> str:
    """The same one for many mails, and not checked by anybody before."""
    _require(ascii_address(address) == address, f"{header}: not an e-mail address")
    return _mailbox(header, name, address)


def _mailbox(header: str, name: str, address: str) -> str:
    if not name:
        return f"{header}: {address}"
    start = len(header) + 2
    if not _PRINTABLE.fullmatch(name) or len(name) > _LONGEST_NAME or "=?" in name:
        return f"{header}: {_encoded(name)}\r\n <{address}>"
    is_atoms = _ATOMS.fullmatch(name) and name == name.strip()
    phrase = name if is_atoms else '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    is_short = start + len(phrase) + len(address) + 3 <= _LINE
    return f"{header}: {phrase}{' ' if is_short else f'{chr(13)}{chr(10)} '}<{address}>"


def _words(text: str, *, start: int) -> str:
    """Unstructured text, behind `start` characters."""
    is_plain = _PRINTABLE.fullmatch(text) and "=?" not in text and text == text.strip()
    words = text.split(" ")
    if not is_plain or max(map(len, words)) > _LONGEST_WORD:
        return _encoded(text)
    if start + len(text) <= _LINE:
        return text
    return "".join(_folded(words, start))


def _folded(words: list[str], start: int) -> Iterator[str]:
    """Lines break before a space; none consists of spaces only."""
    used, before = start, ""
    for place, word in enumerate(words):
        if place and word and before and used + 1 + len(word) > _LINE:
            yield "\r\n"
            used = 0
        yield f" {word}" if place else word
        used += len(word) + 1
        before = word


def _encoded(text: str) -> str:
    """Encoded words (RFC 2047), each with whole characters."""
    octets, words = text.encode(), []
    while octets:
        end = _WORD
        while end < len(octets) and octets[end] & 0xC0 == _WITHIN_CHARACTER:
            end -= 1
        words.append(binascii.b2a_base64(octets[:end], newline=False).decode())
        octets = octets[end:]
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in words)


def _link_headers(mail: Mail, sender: Sender) -> Iterator[str]:
    """Lines break between links only: no mail program reads one that is folded or encoded."""
    for name, value in list_headers(mail, sender).items():
        _require(bool(_PRINTABLE.fullmatch(value)), f"{name}: not a link that a header can hold")
        yield f"{name}: " + value.replace(", ", ",\r\n ")


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise RequestRejectedError(f"the mail cannot be sent: {sentence}")
