from datetime import date, datetime
from decimal import Decimal

import pytest

from jobs.documents.core import formats
from jobs.documents.core.model import Cell, Kind, Language, Period
from tests.jobs.documents.core.reports import ISTANBUL


@pytest.mark.parametrize(
    ("language", "value", "kind", "shown"),
    [
        ("en", None, Kind.TEXT, ""),
        ("en", "a text", Kind.TEXT, "a text"),
        ("en", date(2026, 3, 5), Kind.DAY, "Mar 5, 2026"),
        ("tr", date(2026, 2, 5), Kind.DAY, "5 Şub 2026"),
        ("tr", date(2026, 8, 5), Kind.DEADLINE, "5 Ağu 2026"),
        (
            "en",
            datetime(2026, 3, 5, 17, 0, tzinfo=ISTANBUL),
            Kind.DEADLINE,
            "Mar 5, 2026, 5:00\u00a0PM",
        ),
        ("tr", datetime(2026, 3, 5, 17, 0, tzinfo=ISTANBUL), Kind.DEADLINE, "5 Mar 2026, 17:00"),
        ("en", 1234567, Kind.COUNT, "1,234,567"),
        ("tr", 1234567, Kind.COUNT, "1.234.567"),
        ("en", Decimal("0.1234"), Kind.SHARE, "12.3%"),
        ("tr", Decimal("0.1234"), Kind.SHARE, "%12,3"),
    ],
)
def test_a_cell_is_written_as_its_language_has_it(
    language: Language, value: Cell, kind: Kind, shown: str
) -> None:
    assert formats.cell(value, kind, language) == shown


@pytest.mark.parametrize(
    ("language", "amount", "currency", "shown"),
    [
        ("tr", "17706.88", "TRY", "₺17.706,88"),
        ("en", "17706.88", "TRY", "TRY\u00a017,706.88"),
        ("en", "1234567.5", "USD", "$1,234,567.50"),
        ("tr", "1234567.50", "USD", "$1.234.567,50"),
        ("en", "-5", "EUR", "-€5.00"),
        ("en", "12.345", "USD", "$12.345"),
        ("en", "9999999999999999.99", "USD", "$9,999,999,999,999,999.99"),
        ("en", "12", "", "12.00"),
        ("en", "12", "no code", "no code\u00a012.00"),
    ],
)
def test_money_keeps_its_digits(language: Language, amount: str, currency: str, shown: str) -> None:
    assert formats.money(Decimal(amount), currency, language) == shown


def test_periods_months_and_quarters_have_names() -> None:
    period = Period(date(2026, 1, 1), date(2026, 8, 31))

    assert formats.period(period, "en") == "January 1, 2026 – August 31, 2026"
    assert formats.period(period, "tr") == "1 Ocak 2026 – 31 Ağustos 2026"
    assert formats.month(date(2026, 9, 1), "tr") == "Eylül 2026"
    assert formats.month(date(2026, 2, 1), "tr", is_short=True) == "Şub 26"
    assert formats.quarter(date(2026, 4, 1), "tr") == "Ç2 26"
