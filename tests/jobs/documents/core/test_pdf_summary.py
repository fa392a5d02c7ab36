from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from jobs.documents.core import groups, pdf
from jobs.documents.core.model import Bar, Figure, Money, Period, Series
from tests.jobs.documents.core.reports import make_report, pdf_texts, written


def page(**changes: object) -> str:
    return pdf_texts(written(pdf.write, replace(make_report(), **changes), []))[0]  # type: ignore[arg-type] # any field


def test_the_figures_are_there() -> None:
    shown = page()

    for figure in ("Notices 8", "Open for response 4", "Closing within 7 days 1"):
        assert figure in shown
    assert "Awarded (USD) $100.10" in shown


@pytest.mark.parametrize("number", [1, 5, 6, 40])
def test_any_number_of_figures_finds_its_place(number: int) -> None:
    figures = tuple(Figure(f"Figure {at}", Money(Decimal(at), "USD")) for at in range(number))

    report = replace(make_report(), figures=figures)

    shown = " ".join(pdf_texts(written(pdf.write, report, [])))
    assert all(f"Figure {at} ${at}.00" in shown for at in range(number))


def test_counts_after_the_largest_are_summed() -> None:
    counts = Series("By notice type", tuple(Bar(f"Type {at}", 20 - at) for at in range(12)))

    shown = page(counts=counts)

    assert "Type 6 14 Other 55" in shown
    assert "Type 7" not in shown


@pytest.mark.parametrize("most", [0, 1, 4, 7, 99, 12_345, 1_000_000])
def test_the_chart_takes_any_height(most: int) -> None:
    chart = Series("Notices per month", (Bar("Jan 26", most), Bar("Feb 26", 0)))

    assert f"{most:,}" in page(chart=chart)


def test_a_chart_of_ten_years_has_its_quarters() -> None:
    period = Period(date(2016, 1, 15), date(2026, 1, 14))

    shown = page(period=period, chart=groups.chart([], period, "en"))

    assert "Notices per quarter" in shown
