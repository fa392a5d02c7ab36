"""Whom a message is for."""

from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALES = ("en", "tr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody that a tenant writes to: one of its users, or a contact.

    `locale` is one of LOCALES, `timezone` a name of the IANA database; `phone` is as somebody wrote
    it. Raises ValueError, which names the field.
    """

    tenant_id: UUID
    name: str = field(repr=False)
    locale: str
    timezone: str
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.locale not in LOCALES:
            raise ValueError(f"locale: is one of {', '.join(LOCALES)}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("timezone: not a name of the IANA database") from None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def display_name(self) -> str:
        """The name on one line."""
        return " ".join(self.name.split())
