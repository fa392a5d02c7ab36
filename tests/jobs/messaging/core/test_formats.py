import doctest
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from clients.sms_text import encoding_of
from jobs.messaging.core import channels, colours, formats, quiet_hours

ISTANBUL, NEW_YORK = ZoneInfo("Europe/Istanbul"), ZoneInfo("America/New_York")
AT = datetime(2026, 12, 5, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize("module", [formats, channels, colours, quiet_hours])
def test_the_examples_are_true(module: object) -> None:
    tried = doctest.testmod(module)  # type: ignore[arg-type]  # modules are given as objects

    assert (tried.failed, tried.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text", "in_sms"),
    [
        ("1234.5", "USD", "en", "$1,234.50", "$1,234.50"),
        ("1234.5", "TRY", "tr", "₺1.234,50", "1.234,50 TL"),
        ("1234.5", "TRY", "en", "TRY 1,234.50", "1,234.50 TL"),
        ("1234.5", "EUR", "tr", "€1.234,50", "€1.234,50"),
        ("-3", "USD", "en", "-$3.00", "-$3.00"),
        ("0.005", "USD", "en", "$0.00", "$0.00"),
        ("1000", "JPY", "en", "¥1,000", "¥1,000"),
        ("12", "CHF", "en", "CHF 12.00", "12.00 CHF"),
        ("12345678901234567890.12", "USD", "en", "$12,345,678,901,234,567,890.12", None),
    ],
)
def test_money_is_written_as_the_reader_writes_it(
    amount: str, currency: str, locale: str, text: str, in_sms: str | None
) -> None:
    assert formats.money(Decimal(amount), currency, locale=locale) == text
    if in_sms is not None:
        said = formats.money_in_sms(Decimal(amount), currency, locale=locale)
        assert said == in_sms
        assert encoding_of(said) == "GSM-7"


@pytest.mark.parametrize("say", [formats.money, formats.money_in_sms])
@pytest.mark.parametrize("amount", [1.1, 1, "one"])
def test_money_that_is_no_decimal_is_refused(say: object, amount: object) -> None:
    with pytest.raises(TypeError, match="Decimal"):
        say(amount, "TRY", locale="tr")  # type: ignore[operator]  # one of two functions


@pytest.mark.parametrize(
    ("locale", "zone", "said"),
    [
        (
            "en",
            NEW_YORK,
            [
                "Saturday, December 5, 2026",
                "December 5, 2026",
                "Dec 5, 2026",
                "5:30 PM",
                "December 5, 2026 at 5:30 PM",
                "New York, GMT-05:00",
            ],
        ),
        (
            "tr",
            ISTANBUL,
            [
                "6 Aralık 2026 Pazar",
                "6 Aralık 2026",
                "6 Ara 2026",
                "01:30",
                "6 Aralık 2026 01:30",
                "İstanbul, GMT+03:00",
            ],
        ),
    ],
)
def test_an_instant_is_told_where_the_reader_is(
    locale: str, zone: ZoneInfo, said: list[str]
) -> None:
    functions = (
        formats.full_date,
        formats.long_date,
        formats.short_date,
        formats.clock_time,
        formats.date_time,
        formats.zone_name,
    )

    assert [function(AT, locale=locale, zone=zone) for function in functions] == said


def test_a_day_is_the_same_everywhere() -> None:
    assert formats.long_date(date(2026, 12, 6), locale="en", zone=NEW_YORK) == "December 6, 2026"


def test_what_is_no_time_is_refused() -> None:
    for function in (formats.long_date, formats.clock_time, formats.zone_name):
        with pytest.raises(TypeError, match="instant"):
            function("today", locale="en", zone=NEW_YORK)  # type: ignore[arg-type]  # on purpose


def test_an_instant_without_a_zone_is_refused() -> None:
    for function in (formats.long_date, formats.clock_time, formats.zone_name):
        with pytest.raises(ValueError, match="time zone"):
            function(AT.replace(tzinfo=None), locale="en", zone=NEW_YORK)


@pytest.mark.parametrize(
    ("text", "upper", "lower", "capital"),
    [
        ("ılık iğne", "ILIK İĞNE", "ılık iğne", "Ilık iğne"),
        ("İZMİR IĞDIR", "İZMİR IĞDIR", "izmir ığdır", "İZMİR IĞDIR"),
        ("istanbul", "İSTANBUL", "istanbul", "İstanbul"),
        ("", "", "", ""),
    ],
)
def test_turkish_has_two_letters_i(text: str, upper: str, lower: str, capital: str) -> None:
    assert formats.upper(text, locale="tr") == upper
    assert formats.lower(text, locale="tr") == lower
    assert formats.capitalize(text, locale="tr") == capital


def test_english_has_one() -> None:
    assert formats.upper("istanbul", locale="en") == "ISTANBUL"
    assert formats.lower("ISTANBUL", locale="en") == "istanbul"
