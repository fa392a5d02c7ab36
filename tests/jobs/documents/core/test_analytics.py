from decimal import Decimal

from jobs.documents.core import analytics
from jobs.documents.core.model import Figure
from tests.jobs.documents.core.reports import PERIOD, make_analytics


def test_each_value_has_a_row_and_each_further_currency_another() -> None:
    _, rows = make_analytics()

    assert [row for row in rows if row[0] == "By notice type"] == [
        ("By notice type", "Solicitation", 7, Decimal("0.8750"), 1, Decimal("0.20"), "TRY"),
        ("By notice type", "Solicitation", None, None, 1, Decimal("100.10"), "USD"),
        ("By notice type", "Award Notice", 1, Decimal("0.1250"), 0, None, None),
    ]


def test_every_group_adds_up_to_all_notices() -> None:
    _, rows = make_analytics("tr")
    totals: dict[object, int] = {}
    for row in rows:
        totals[row[0]] = totals.get(row[0], 0) + (row[2] if isinstance(row[2], int) else 0)

    assert list(totals.values()) == [8, 8, 8, 8]


def test_months_without_notices_are_there() -> None:
    _, rows = make_analytics()

    assert ("By month", "February 2026", 0, Decimal(0), 0, None, None) in rows


def test_nothing_posted_is_no_error() -> None:
    rows = list(analytics.rows([], PERIOD, "en", notices=0))

    assert [row[1:4] for row in rows] == [
        ("January 2026", 0, 0),
        ("February 2026", 0, 0),
        ("March 2026", 0, 0),
    ]


def test_there_is_a_column_for_each_cell() -> None:
    report, rows = make_analytics()

    assert {len(row) for row in rows} == {len(report.columns)}
    assert report.figures[2] == Figure("Awards", 2)
