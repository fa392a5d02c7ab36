from datetime import date
from decimal import Decimal

from jobs.documents.core import groups
from jobs.documents.core.model import Figure, Money, Period
from tests.jobs.documents.core.reports import AGGREGATES, PERIOD, make_aggregate


def test_months_stand_in_their_order_without_gaps() -> None:
    lines = groups.lines(AGGREGATES, "month", PERIOD, "tr")

    assert [(line.label, line.notices) for line in lines] == [
        ("Ocak 2026", 5),
        ("Şubat 2026", 0),
        ("Mart 2026", 3),
    ]


def test_other_values_stand_by_size_and_the_rest_last() -> None:
    rest = make_aggregate("department", None, 99, is_rest=True)

    lines = groups.lines((rest, *AGGREGATES[:-2]), "department", PERIOD, "en")

    assert [(line.label, line.notices) for line in lines] == [
        ("DEPT OF DEFENSE", 5),
        ("Not stated", 2),
        ("Other", 99),
    ]


def test_currencies_are_never_added_up() -> None:
    line = groups.lines(AGGREGATES, "notice_type", PERIOD, "en")[0]

    assert line.notices == 7
    assert line.awards == (
        groups.Awards("TRY", 1, Decimal("0.20")),
        groups.Awards("USD", 1, Decimal("100.10")),
    )
    assert groups.award_figures(AGGREGATES, "en") == (
        Figure("Awarded (TRY)", Money(Decimal("0.20"), "TRY")),
        Figure("Awarded (USD)", Money(Decimal("100.10"), "USD")),
    )


def test_an_award_without_a_currency_is_shown_without_one() -> None:
    aggregate = make_aggregate("month", "2026-01", 1, awarded="7.00")

    assert groups.award_figures([aggregate], "en") == (
        Figure("Awarded", Money(Decimal("7.00"), "")),
    )


def test_months_go_over_the_end_of_the_year() -> None:
    period = Period(date(2025, 11, 30), date(2026, 2, 1))

    assert [f"{month:%Y-%m}" for month in groups.months(period)] == [
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
    ]


def test_the_chart_has_a_bar_for_each_month() -> None:
    chart = groups.chart(AGGREGATES, PERIOD, "tr")

    assert [(bar.label, bar.value) for bar in chart.bars] == [
        ("Oca 26", 5),
        ("Şub 26", 0),
        ("Mar 26", 3),
    ]


def test_the_chart_of_a_long_period_has_a_bar_for_each_quarter() -> None:
    period = Period(date(2024, 2, 1), date(2026, 3, 31))

    chart = groups.chart(AGGREGATES, period, "en")

    assert chart.title == "Notices per quarter"
    assert [bar.label for bar in chart.bars][:2] == ["Q1 24", "Q2 24"]
    assert [bar.value for bar in chart.bars] == [0] * 8 + [8]
