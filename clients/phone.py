"""Telephone numbers as people write them, and as providers want them (E.164)."""

from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

# Where a plan tells telephones apart. In the US it does not, and there none is refused.
_WITHOUT_SMS: Final = frozenset(
    {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.PAGER,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    }
)
_LONGEST = 40  # characters: brackets and spaces included


def e164(text: str, *, country: str) -> str | None:
    """The number as `+905321234567`, or None when it is none that its country gives out.

    `country` (ISO 3166, as in TR) says whose number it is when it begins without `+` or `00`.
    """
    number = _parsed(text, country)
    return None if number is None else phonenumbers.format_number(number, PhoneNumberFormat.E164)


def sms_number(text: str, *, country: str) -> str | None:
    """The same, and None as well where the number is known to belong to no mobile telephone."""
    number = _parsed(text, country)
    if number is None or phonenumbers.number_type(number) in _WITHOUT_SMS:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _parsed(text: str, country: str) -> phonenumbers.PhoneNumber | None:
    written = text.strip()
    if len(written) > _LONGEST:
        return None
    if written.startswith("00"):  # the way out in most countries, and no beginning in any
        written = "+" + written.removeprefix("00")
    try:
        number = phonenumbers.parse(written, country)
    except NumberParseException:
        return None
    # Behind an extension is a switchboard.
    return number if phonenumbers.is_valid_number(number) and not number.extension else None
