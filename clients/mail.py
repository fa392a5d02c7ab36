"""One message object and one protocol for all ways to send mail.

A provider sends what it is given once per call and never retries: the runner does.
"""

import re
from dataclasses import dataclass, field
from email.utils import getaddresses
from typing import Literal, Protocol, Self

import idna

from clients.errors import RequestRejectedError
from clients.handover import Before, nothing

# RFC 5321 4.1.2 without quoted local parts, which hardly any mailbox has and many servers refuse.
_ADDRESS = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}|localhost)"
)
_LOCAL_LIMIT, _ADDRESS_LIMIT = 64, 254  # octets, RFC 5321 4.5.3.1
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")
_WEB_LINK = re.compile(r"https?://[!#-;=?-~]+")  # visible ASCII without `"`, `<` and `>`
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """An appointment to take over: iCalendar with that method (RFC 5546)."""

    method: Literal["REQUEST", "CANCEL"]
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail to one recipient. `template` names its kind in metrics, `template_name` its template
    in deliveries where that is another; `sender` None: the provider's.

    Raises RequestRejectedError for what no provider could send: no address, or a value that would
    break out of its header. The message names the field and never shows its value.
    """

    template: str
    to: str = field(repr=False)
    to_name: str = field(default="", repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    attachments: tuple[Attachment, ...] = ()
    unsubscribe_url: str | None = field(default=None, repr=False)
    language: str = "en"
    sender: "Sender | None" = None
    reply_to: str | None = field(default=None, repr=False)
    template_version: str = ""
    template_name: str = ""
    event: CalendarEvent | None = None

    def __post_init__(self) -> None:
        _require(ascii_address(self.to) is not None, "to: not an e-mail address")
        _require(
            self.reply_to is None or ascii_address(self.reply_to) is not None,
            "reply_to: not an e-mail address",
        )
        _require(not _CONTROL.search(self.to_name), "to_name: contains a control character")
        _require(not _CONTROL.search(self.subject), "subject: contains a control character")
        _require(bool(self.subject.strip() and self.text.strip()), "subject or text: is empty")
        _require(
            self.unsubscribe_url is None or bool(_WEB_LINK.fullmatch(self.unsubscribe_url)),
            "unsubscribe_url: not a link that a header can hold",
        )
        _require(bool(_LANGUAGE.fullmatch(self.language)), "language: not a language tag")
        for file in self.attachments:
            is_named = bool(file.filename) and not _CONTROL.search(file.filename)
            is_typed = bool(_MEDIA_TYPE.fullmatch(file.content_type))
            _require(is_named, "attachments: a filename does not fit a header")
            _require(is_typed, "attachments: a content_type is not one of a file")

    @property
    def address(self) -> str:
        """The recipient as SMTP carries it: ASCII, the domain in IDNA's."""
        return ascii_address(self.to) or ""

    @property
    def mailbox(self) -> str:
        """The recipient as addresses are compared."""
        return normal_address(self.to) or ""

    @property
    def files(self) -> tuple[Attachment, ...]:
        """The attachments. An event is one too, for mail programs that know no calendar."""
        if self.event is None:
            return self.attachments
        event = Attachment("invite.ics", "application/ics", self.event.content.encode())
        return (*self.attachments, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who a mail is from; `unsubscribe_mailbox` is where "unsubscribe" may be mailed to."""

    address: str
    name: str = ""
    unsubscribe_mailbox: str | None = None

    @classmethod
    def parse(cls, text: str, *, unsubscribe_mailbox: str | None = None) -> Self:
        """Read `address` or `Name <address>`. Raises ValueError when it is neither, or several."""
        several = getaddresses([text])
        name, spec = several[0] if len(several) == 1 else ("", "")
        address = ascii_address(spec)
        if address is None or _CONTROL.search(name):
            raise ValueError("write the sender as an address, or as Name <address>")
        return cls(address=address, name=name, unsubscribe_mailbox=unsubscribe_mailbox)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class MailProvider(Protocol):
    """Hands one mail over to a service that delivers it.

    is_repeatable  sending the same `message_id` twice has no second effect
    reports        events about each mail come back later, also for one whose answer was lost

    `send` awaits `before` right before the step that cannot be undone; when that raises, nothing
    was sent. It returns the provider's own id of the message, and raises ServiceUnavailableError
    (not sent, try later), ThrottledError (the same, and slower), DeliveryUnknownError (perhaps
    sent), RequestRejectedError (refused for good).
    """

    @property
    def name(self) -> str: ...

    @property
    def is_repeatable(self) -> bool: ...

    @property
    def reports(self) -> bool: ...

    @property
    def sender(self) -> Sender: ...

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str: ...

    async def aclose(self) -> None: ...


def ascii_address(text: str) -> str | None:
    """The address in ASCII, its domain in lower case and IDNA; None when it is not one.

    A local part beyond ASCII is none: it would need SMTPUTF8 (RFC 6531) on every hop.
    """
    local, at, domain = text.strip().rpartition("@")
    try:
        # IDNA 2008 as browsers do it (UTS 46): with the standard library's faß.de becomes fass.de.
        plain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
        candidate = f"{local}{at}{plain.lower()}"
    except UnicodeError:
        return None
    is_short = len(local) <= _LOCAL_LIMIT and len(candidate) <= _ADDRESS_LIMIT
    return candidate if is_short and _ADDRESS.fullmatch(candidate) else None


def normal_address(text: str) -> str | None:
    """The one form in which addresses are kept and compared; None when mail cannot be sent there.

    As `ascii_address`, and the local part in lower case, too: by RFC 5321 2.4 that is the host's
    affair, but no host tells Ada@ from ada@, and whoever unsubscribes as one is not to be written
    to as the other. Python's own rules, and not PostgreSQL's `lower`: by a Turkish locale that
    makes an ı of I.
    """
    address = ascii_address(text)
    return None if address is None else address.lower()


def spellings(text: str) -> tuple[str, ...]:
    """Every form in which an address may have been written down, the normal one first: others
    write, too, and with the letters of its domain.
    """
    normal = normal_address(text)
    if normal is None:
        return (text.strip().lower(),)
    local, _, domain = normal.partition("@")
    try:
        readable = idna.decode(domain)
    except UnicodeError:  # begins with xn--, and is no IDNA
        readable = domain
    return tuple(dict.fromkeys((normal, f"{local}@{readable}", text.strip().lower())))


def without_addresses(text: str) -> str:
    """A service's words for an error message: one line, no address, at most 300 characters."""
    return re.sub(r"\S+@\S+", "(address)", " ".join(text.split()))[:300]


def list_headers(mail: Mail, sender: Sender) -> dict[str, str]:
    """List-Unsubscribe (RFC 2369), one-click where the link is https (RFC 8058 3.1)."""
    if mail.unsubscribe_url is None:
        return {}
    ways = [f"<{mail.unsubscribe_url}>"]
    if sender.unsubscribe_mailbox:
        ways.append(f"<mailto:{sender.unsubscribe_mailbox}?subject=unsubscribe>")
    headers = {"List-Unsubscribe": ", ".join(ways)}
    if mail.unsubscribe_url.startswith("https://"):
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise RequestRejectedError(f"the mail cannot be sent: {sentence}")
