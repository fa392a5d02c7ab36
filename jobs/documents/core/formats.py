"""How values are written for people, as their language has it; nothing here is for machines."""

from datetime import date, datetime
from decimal import Decimal

from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_symbol

from jobs.documents.core.model import Cell, Kind, Language, Period

_LOCALES: dict[Language, str] = {"en": "en_US", "tr": "tr_TR"}
_PERCENT: dict[Language, str] = {"en": "#,##0.0%", "tr": "%#,##0.0"}

# Thin spaces, as CLDR puts them before PM: few fonts have them.
_SPACES = {0x2009: "\u00a0", 0x202F: "\u00a0"}


def day(value: date, language: Language) -> str:
    return format_date(value, "medium", locale=_LOCALES[language])


def long_day(value: date, language: Language) -> str:
    return format_date(value, "long", locale=_LOCALES[language])


def month(value: date, language: Language, *, is_short: bool = False) -> str:
    return format_date(value, "LLL yy" if is_short else "LLLL yyyy", locale=_LOCALES[language])


def quarter(value: date, language: Language) -> str:
    return format_date(value, "QQQ yy", locale=_LOCALES[language])


def instant(value: datetime, language: Language) -> str:
    """Day and minute on the clock of the value's own zone, which is not named."""
    # Its own clock: babel would turn an aware time to UTC, but leaves a naive one alone.
    time = format_time(value.time(), "short", locale=_LOCALES[language])
    return f"{day(value.date(), language)}, {time}".translate(_SPACES)


def period(value: Period, language: Language) -> str:
    return f"{long_day(value.first, language)} \u2013 {long_day(value.last, language)}"


def count(value: int, language: Language) -> str:
    return format_decimal(value, locale=_LOCALES[language])


def share(value: Decimal, language: Language) -> str:
    return format_percent(value, _PERCENT[language], locale=_LOCALES[language])


def money(amount: Decimal, currency: str, language: Language) -> str:
    """With all the digits the amount has, and never fewer than the currency's own."""
    locale = _LOCALES[language]
    if not currency or get_currency_symbol(currency, locale=locale) == currency:
        number = format_decimal(amount, "#,##0.00######", locale=locale)
        return f"{currency}\u00a0{number}".strip()
    return format_currency(amount, currency, locale=locale, decimal_quantization=False)


def cell(value: Cell, kind: Kind, language: Language, *, currency: str = "") -> str:
    """One table cell; empty for None."""
    written: str
    match value:
        case None:
            written = ""
        case datetime():
            written = instant(value, language)
        case date():
            written = day(value, language)
        case Decimal() if kind is Kind.SHARE:
            written = share(value, language)
        case Decimal():
            written = money(value, currency, language)
        case int():
            written = count(value, language)
        case _:
            written = value
    return written
