"""Whom a message is for."""

import re
import unicodedata
from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALES = ("en", "tr")

# Of the invisible signs (Cf) those with which scripts and emoji join letters. The others turn the
# text around them, or hide in it.
_JOINERS = {"\u200c", "\u200d"}
_UNSHOWN = {"Cc", "Cf", "Cs"}
# Where others sign people up, a name is the way to send their links in a tenant's mail.
_LINK = re.compile(r"://|\bwww[.\u3002\uff0e\uff61]|\S@\S", re.IGNORECASE)
_DOT_INSIDE = re.compile(r"(?<=[^\W_])([.\u3002\uff0e\uff61])(?=[^\W_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody that a tenant writes to: one of its users, or a contact.

    `locale` is one of LOCALES, `timezone` a name of the IANA database; `phone` is as somebody wrote
    it. `unsubscribe_token` is a user's own; other addresses get one when they are written to.
    """

    tenant_id: UUID
    name: str = field(repr=False)
    locale: str
    timezone: str
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    unsubscribe_token: UUID | None = field(default=None, repr=False)

    @property
    def zone(self) -> ZoneInfo:
        """Raises ValueError when the database has no such time zone."""
        return known_zone(self.timezone)

    @property
    def display_name(self) -> str:
        """The name as `person_name` shows it; "" where there is none to greet by."""
        return person_name(self.name)


def on_one_line(text: str) -> str:
    """Without line breaks, and without signs that nobody sees."""
    shown = (one for one in text if one.isspace() or one in _JOINERS or _is_shown(one))
    return " ".join("".join(shown).split())


def person_name(text: str) -> str:
    """A name that somebody gave, as it may stand in a mail or SMS: no reader makes a link of it.

    >>> person_name("Dr.Ayşe Işık")
    'Dr. Ayşe Işık'
    >>> person_name("Win at http://evil.example/win")
    ''
    """
    name = on_one_line(text)
    if _LINK.search(name) or not any(one.isalnum() for one in name):
        return ""
    return _DOT_INSIDE.sub(r"\1 ", name)


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in _UNSHOWN


def known_zone(name: str) -> ZoneInfo:
    """Raises ValueError, which does not tell the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("timezone: not a name of the IANA database") from None
