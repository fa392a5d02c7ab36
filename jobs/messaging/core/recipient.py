"""Whom a message is for."""

import unicodedata
from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALES = ("en", "tr")


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
        """The name on one line."""
        return " ".join("".join(filter(_is_shown, self.name)).split())


def _is_shown(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cs"}


def known_zone(name: str) -> ZoneInfo:
    """Raises ValueError, which does not tell the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("timezone: not a name of the IANA database") from None
