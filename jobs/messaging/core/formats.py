"""Dates, times and amounts as the reader writes them, and letters in their language.

Followed are CLDR's patterns, with plain spaces: a non-breaking one makes an SMS twice as dear.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal

_BABEL = {"en": "en_US", "tr": "tr_TR"}
_FULL_DATE = {"en": "EEEE, MMMM d, y", "tr": "d MMMM y EEEE"}
_CLOCK = {"en": "h:mm a", "tr": "HH:mm"}
_JOINED = {"en": "{} at {}", "tr": "{} {}"}
_LIRA = "TRY"
_LETTERS = re.compile(r"(?<=[A-Za-z])(?=\d)")
# Signs of money that GSM 03.38 has; any other one costs 90 characters of an SMS.
_SIGNS_OF_SMS = frozenset({"USD", "GBP", "JPY", "EUR"})


def money(amount: Decimal, currency: str, *, locale: str) -> str:
    """`currency` is ISO 4217. Raises TypeError for what is no Decimal: a float has lost cents.

    >>> money(Decimal("1234.5"), "TRY", locale="tr")
    '₺1.234,50'
    """
    if not isinstance(amount, Decimal):
        raise TypeError("money is a Decimal")
    text = _plain(format_currency(amount, currency, locale=_BABEL[locale]))
    return _LETTERS.sub(" ", text)  # TRY 5, not TRY5: CLDR's currencySpacing, which Babel lacks


def money_in_sms(amount: Decimal, currency: str, *, locale: str) -> str:
    """The same in letters that every telephone has.

    >>> money_in_sms(Decimal("1234.5"), "TRY", locale="tr")
    '1.234,50 TL'
    """
    if currency in _SIGNS_OF_SMS:
        return money(amount, currency, locale=locale)
    if not isinstance(amount, Decimal):
        raise TypeError("money is a Decimal")
    number = _plain(format_currency(amount, currency, format="#,##0.00", locale=_BABEL[locale]))
    return f"{number} {'TL' if currency == _LIRA else currency}"


def number(value: Decimal | int, *, locale: str) -> str:
    """With the reader's separators: 1,234.5 or 1.234,5."""
    return _plain(format_decimal(value, locale=_BABEL[locale]))


def full_date(day: date, *, locale: str, zone: ZoneInfo) -> str:
    """Sunday, December 6, 2026, or 6 Aralık 2026 Pazar. An instant is the day it is in `zone`."""
    return format_date(_day(day, zone), _FULL_DATE[locale], locale=_BABEL[locale])


def long_date(day: date, *, locale: str, zone: ZoneInfo) -> str:
    """December 6, 2026, or 6 Aralık 2026."""
    return format_date(_day(day, zone), "long", locale=_BABEL[locale])


def short_date(day: date, *, locale: str, zone: ZoneInfo) -> str:
    """Dec 6, 2026, or 6 Ara 2026: the month in letters, for 12/6 is June to some."""
    return format_date(_day(day, zone), "medium", locale=_BABEL[locale])


def clock_time(at: datetime, *, locale: str, zone: ZoneInfo) -> str:
    """3:30 PM, or 15:30. Raises ValueError for an instant without a zone."""
    return format_time(_aware(at), _CLOCK[locale], tzinfo=zone, locale=_BABEL[locale])


def date_time(at: datetime, *, locale: str, zone: ZoneInfo) -> str:
    """December 6, 2026 at 3:30 PM, or 6 Aralık 2026 15:30."""
    day = long_date(at, locale=locale, zone=zone)
    return _JOINED[locale].format(day, clock_time(at, locale=locale, zone=zone))


def zone_name(at: datetime, *, locale: str, zone: ZoneInfo) -> str:
    """Istanbul, GMT+03:00: for whoever may be elsewhere."""
    if zone.key in {"UTC", "Etc/UTC"}:
        return "UTC"
    return format_datetime(_aware(at), "VVV, ZZZZ", tzinfo=zone, locale=_BABEL[locale])


def upper(text: str, *, locale: str) -> str:
    """In Turkish i becomes İ, and ı becomes I.

    >>> upper("ışık istanbul", locale="tr")
    'IŞIK İSTANBUL'
    """
    return (text.replace("i", "İ") if locale == "tr" else text).upper()


def lower(text: str, *, locale: str) -> str:
    """In Turkish I becomes ı, and İ becomes i.

    >>> lower("IŞIK İSTANBUL", locale="tr")
    'ışık istanbul'
    """
    return (text.replace("İ", "i").replace("I", "ı") if locale == "tr" else text).lower()


def capitalize(text: str, *, locale: str) -> str:
    """The first letter large, the others as they are."""
    return upper(text[:1], locale=locale) + text[1:]


def _day(day: date, zone: ZoneInfo) -> date:
    if isinstance(day, datetime):
        return _aware(day).astimezone(zone).date()
    if not isinstance(day, date):
        raise TypeError("a day is a date or an instant")
    return day


def _aware(at: datetime) -> datetime:
    if not isinstance(at, datetime):
        raise TypeError("an instant is a datetime")
    if at.tzinfo is None:
        raise ValueError("an instant has a time zone")
    return at


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")
